"""What `main` prints when the chain has ended: the table, the version, what to try next."""

import shlex
import sys
from collections.abc import Sequence

from pipeline.registry import aliases_of
from pipeline.step import TAG_MODEL_VERSION, Done
from pipeline.summary import table


def show(finished: Sequence[Done], tracking_uri: str) -> None:
    """Print the chain's end on stdout.

    Parameters
    ----------
    finished : sequence of Done
    tracking_uri : str
        Where the runs are.
    """
    lines = ["", table(finished), ""]
    last = finished[-1]
    if last.step == "register":
        lines += [*_version(last), ""]
    lines += ["Try next:", f"  {_ui(tracking_uri)}"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _version(registered: Done) -> list[str]:
    from mlflow import MlflowClient

    name, _, version = registered.tags[TAG_MODEL_VERSION].rpartition("/")
    client = MlflowClient()
    aliases = ", ".join(aliases_of(client, name, version)) or "none"
    stage = client.get_model_version(name, version).tags.get("stage", "none")
    return [
        f"Model {name}, version {version}: stage {stage}, aliases {aliases}",
        f"Gate: {registered.tags.get('decision', '')}",
        f"Champion: {registered.tags.get('champion', 'none')}",
    ]


def _ui(tracking_uri: str) -> str:
    if tracking_uri.startswith("http"):
        return f"open {tracking_uri} in a browser: every run, picture and model"
    uri = shlex.quote(tracking_uri)
    return (
        f"{shlex.quote(sys.executable)} -m mlflow ui --backend-store-uri {uri}"
        "   # then open http://127.0.0.1:5000"
    )
