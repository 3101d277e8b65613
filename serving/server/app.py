"""The process that serves a model: it imports what serving needs, then is told which model.

It is started by `serving.server.process`. Its first line of input is the order, as JSON; its first
line of output says that it is ready, or why it will never be. It ends with its input, and on
SIGTERM.
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Mapping
from importlib import import_module  # preloads
from pathlib import Path
from typing import Any

from serving.model.predict_worker import load
from serving.project import ROOT
from serving.server.middleware import RequestCheckMiddleware

# What serving and the models use; imported while the order is still on its way.
PRELOAD = (
    "uvicorn",
    "mlflow.pyfunc.scoring_server",
    "pyarrow",
    "talib",
    "skops.io",
    "sklearn.linear_model",
    "sklearn.ensemble",
)
GRACE = 3  # seconds for requests under way when told to end
EXAMPLE = "serving_input_example.json"


def unload_checkout() -> None:
    """Leave the project's modules and folder, so that a model finds its own code alone."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "serving"]:
        del sys.modules[name]
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != ROOT]


def build_app(folder: Path, about: Mapping[str, Any], max_rows: int) -> RequestCheckMiddleware:
    """Load a model and put the front before MLflow's app; the model has answered its example.

    Raises
    ------
    ValueError
        It does not answer.
    """
    from mlflow.pyfunc import scoring_server

    model = load(str(folder))
    example = (folder / EXAMPLE).read_bytes()
    inputs = model.metadata.get_input_schema()
    answer = scoring_server.invocations(example, "application/json", model, inputs)
    if answer.status != 200:
        raise ValueError(f"its input example is answered with status {answer.status}")
    meta = model.metadata
    told = {
        **about,
        "run_id": meta.run_id,
        "model_id": meta.model_id,
        "created": meta.utc_time_created,
        "mlflow_version": meta.mlflow_version,
        **(meta.metadata or {}),
        "columns": {spec.name: spec.type.name for spec in inputs.inputs},
        "max_rows": max_rows,
    }
    pages = {"/model": json.dumps(told).encode(), "/example": example}
    return RequestCheckMiddleware(scoring_server.init(model), meta, pages, max_rows)


def serve(order: Mapping[str, Any], tell: Any) -> None:
    """Serve as ordered until the process is told to end."""
    import uvicorn

    os.chdir(order["folder"])
    app = build_app(Path(order["folder"]), order["about"], order["max_rows"])

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            tell({"ready": True})

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE
    )
    server = Server(config)

    def end_with_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_input, daemon=True).start()
    server.run([socket.socket(fileno=order["socket"])])


def main() -> None:
    """Import, take the order, serve."""
    # What libraries print belongs on stderr: our words to the process above go out alone.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(words: Mapping[str, Any]) -> None:
        out.write(json.dumps(words) + "\n")
        out.flush()

    unload_checkout()
    for name in PRELOAD:
        import_module(name)
    line = sys.stdin.readline()
    if not line:  # whoever wanted a server is gone
        return
    try:
        serve(json.loads(line), tell)
    except Exception as error:
        tell({"error": " ".join(f"{type(error).__name__}: {error}".split())[:1000]})
        raise


if __name__ == "__main__":
    main()
