"""Reads a registered model; writes nothing: becomes the model server until a signal stops it."""

import os
import sys

from pipeline.log.console import logger
from pipeline.process.signals import catch_stop_signals, parent_pids
from pipeline.registry.download import fetch_model
from pipeline.registry.model_uri import resolve_and_warn
from pipeline.run.step_run import step_run
from pipeline.tags import TAG_MODEL_VERSION
from serving.server.process import listen, start_server
from steps.cli.command import program, raw_texts
from steps.cli.types import ROOT


@program("serve")
def main(*, model_uri: str, registered_model: str, port: int, host: str, max_rows: int) -> None:
    """Serve a model until a signal stops it, which is success."""
    parents = parent_pids() if "MLFLOW_RUN_ID" in os.environ else None
    with (
        listen(host, port) as listener,
        start_server(listener) as server,
        step_run(ROOT, "serve", raw_texts()) as run,
    ):
        resolved = resolve_and_warn(run.client, model_uri, registered_model)
        # A copy: the store may prune what is still served.
        folder = fetch_model(run.client, resolved, run.scratch_folder("model"))
        reference = f"{resolved.name}, version {resolved.version}"
        model = reference if resolved.name else resolved.uri
        about = {name: getattr(resolved, name) for name in ("uri", "name", "version", "alias")}
        order = {
            "folder": str(folder),
            "about": about,
            "max_rows": max_rows,
            "socket": listener.fileno(),
        }
        with catch_stop_signals(parents) as received_signal:
            if server.load(order, received_signal):
                shown, number = listener.getsockname()[:2]
                address = f"http://{f'[{shown}]' if ':' in shown else shown}:{number}"
                if resolved.name:
                    run.set_tags({TAG_MODEL_VERSION: f"{resolved.name}/{resolved.version}"})
                run.set_key_figure(f"{model} on {address}")
                run.flush()
                logger.info(f"serving {model} on {address}")
                server.wait(received_signal)
        logger.info(f"{model}: stopped by a signal, no longer served")


if __name__ == "__main__":
    sys.exit(main())
