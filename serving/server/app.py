"""Process that serves a model: imports first, then reads which model.

It is started by `serving.server.process`. Its first line of stdin is the configuration as JSON, its
first line of stdout the state: ready, or an error. It exits when stdin ends, and on SIGTERM.
"""

# MLflow and uvicorn are imported after `unload_checkout`: a module of the checkout imported before
# them would be used for the model, too.

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from serving.model.metadata import TRAINED_ON
from serving.model.predict_worker import load
from serving.project import ROOT
from serving.server.middleware import RequestCheckMiddleware

# Modules of serving and the models, imported while the configuration is still to come.
PRELOAD = (
    "uvicorn",
    "mlflow.pyfunc.scoring_server",
    "pyarrow",
    "talib",
    "skops.io",
    "sklearn.linear_model",
    "sklearn.ensemble",
)
GRACE = 3  # seconds for requests under way at the end
EXAMPLE = "serving_input_example.json"


def unload_checkout() -> None:
    """Remove the checkout's modules and path, so that a model finds only its own code."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "serving"]:
        del sys.modules[module]
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != ROOT]


def build_app(folder: Path, about: Mapping[str, Any], max_rows: int) -> RequestCheckMiddleware:
    """Load a model, check it on its input example, and build the app.

    Parameters
    ----------
    folder : Path
        Folder of the model, with its MLmodel file.
    about : mapping
        Facts for GET /model beside those of the model's metadata.
    max_rows : int
        Most rows of one request.

    Returns
    -------
    RequestCheckMiddleware

    Raises
    ------
    ValueError
        The model fails on its input example.
    """
    from mlflow.pyfunc import scoring_server

    model = load(str(folder))
    example = (folder / EXAMPLE).read_bytes()
    inputs = model.metadata.get_input_schema()
    response = scoring_server.invocations(example, "application/json", model, inputs)
    if response.status != 200:
        raise ValueError(f"status {response.status} for its input example")
    meta = model.metadata
    facts = {
        **about,
        "run_id": meta.run_id,
        "model_id": meta.model_id,
        "created": meta.utc_time_created,
        "mlflow_version": meta.mlflow_version,
        **{k: value for k, value in (meta.metadata or {}).items() if k != TRAINED_ON},
        "columns": {spec.name: spec.type.name for spec in inputs.inputs},
        "max_rows": max_rows,
    }
    pages = {"/model": json.dumps(facts).encode(), "/example": example}
    return RequestCheckMiddleware(scoring_server.init(model), meta, pages, max_rows)


def serve(config: Mapping[str, Any], report: Callable[[Mapping[str, Any]], None]) -> None:
    """Serve a model until the process is stopped.

    Parameters
    ----------
    config : mapping
        ``folder``: of the model; ``about``: facts for GET /model; ``max_rows``: of one request;
        ``socket``: file descriptor of the listening socket.
    report : callable
        Called with ``{"ready": True}`` once requests are answered.
    """
    import uvicorn

    os.chdir(config["folder"])
    app = build_app(Path(config["folder"]), config["about"], config["max_rows"])

    class ReportingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            report({"ready": True})

    uvicorn_config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE
    )
    server = ReportingServer(uvicorn_config)

    def exit_with_stdin() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=exit_with_stdin, daemon=True).start()
    server.run([socket.socket(fileno=config["socket"])])


def main() -> None:
    """Import, read the configuration, serve."""
    # Prints of libraries go to stderr: stdout is for the state alone.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def report(state: Mapping[str, Any]) -> None:
        out.write(json.dumps(state) + "\n")
        out.flush()

    unload_checkout()
    for name in PRELOAD:
        import_module(name)
    line = sys.stdin.readline()
    if not line:  # the starter has exited
        return
    try:
        serve(json.loads(line), report)
    except Exception as error:
        report({"error": " ".join(f"{type(error).__name__}: {error}".split())[:1000]})
        raise


if __name__ == "__main__":
    main()
