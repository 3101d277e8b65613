"""What `main` prints when the chain has ended: the table, the version, what to try next."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.chain.summary import text_table
from pipeline.git.clone import clone_of
from pipeline.log.redact import public_url, redact_urls
from pipeline.registry.models import CHAMPION, aliases_of, version_by_alias
from pipeline.step import FinishedStep
from pipeline.tags import TAG_MODEL_VERSION, TAG_STAGE
from steps.cli.types import ROOT


def show(finished: Sequence[FinishedStep], tracking_uri: str) -> "Standing | None":
    """Print the chain's end on stdout; return where the version stands, if it came to one.

    Parameters
    ----------
    finished : sequence of Done
    tracking_uri : str
        Where the runs are.
    """
    lines = ["", text_table(finished), ""]
    last, now = finished[-1], None
    if last.step == "register":
        now = standing(last)
        lines += [
            f"Model {now.name}, version {now.version}: stage {now.stage}, aliases {now.aliases}",
            f"Gate: {now.gate}",
            f"Champion: {now.champion}",
            "",
        ]
    lines += ["Try next:", *(f"  {line}" for line in what_next(last, tracking_uri))]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return now


# Addresses as whoever reads this reaches them, where that is not how a container does.
UI, MODEL = "STOCKPRED_UI", "STOCKPRED_MODEL"


def what_next(last: FinishedStep, tracking_uri: str) -> list[str]:
    """What to try when the chain has come to this last step, a line each."""
    lines = [_ui(tracking_uri)]
    if last.step == "register" and (served := os.environ.get(MODEL)):
        lines.append(f"open {served}/model, once the model server is up: which version it serves")
    elif last.step == "register":
        lines += [_step(tracking_uri, last, *what) for what in _STEPS]
    return lines


# Work whatever the gate's verdict was: a model is the champion, or else the candidate.
_STEPS = (
    ("score", "forecasts of the session to come: predictions.parquet of its run"),
    ("serve", "a model server on http://127.0.0.1:5001; docs/serving.md has what to send it"),
)


def _step(tracking_uri: str, registered: FinishedStep, entry_point: str, meaning: str) -> str:
    name = registered.tags[TAG_MODEL_VERSION].rpartition("/")[0]
    store = f"MLFLOW_TRACKING_URI={_quoted(tracking_uri)}"
    clone = clone_of(ROOT)
    if clone is not None and clone.is_marked:  # about to be removed
        words = [
            "mlflow",
            "run",
            clone.source,
            "-v",
            clone.commit,
            "-e",
            entry_point,
            "--env-manager",
            "local",
            "-P",
            f"registered_model={name}",
        ]
        path = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
        return f"{path} {store} {shlex.join(words)}   # {meaning}"
    python = shlex.join([sys.executable, "-m", f"steps.{entry_point}", "--registered_model", name])
    return f"cd {shlex.quote(str(ROOT))} && {store} {python}   # {meaning}"


class Standing(NamedTuple):
    """Where a version stands, why, and who is champion."""

    name: str
    version: str
    stage: str | None
    aliases: str
    gate: str
    champion: str


def standing(registered: FinishedStep) -> Standing:
    """As things stand now: a person may have moved the version of a cached run."""
    from mlflow import MlflowClient

    from steps.registration.version_tags import TAG_AGE, TAG_GATE

    name, _, number = registered.tags[TAG_MODEL_VERSION].rpartition("/")
    client = MlflowClient()
    version, champion = (
        client.get_model_version(name, number),
        version_by_alias(client, name, CHAMPION),
    )
    aliases = ", ".join(aliases_of(client, name, number)) or "none"
    age = champion.tags.get(TAG_AGE, f"version {champion.version}") if champion else "none"
    stage, gate = version.tags.get(TAG_STAGE), version.tags.get(TAG_GATE, "")
    return Standing(name, number, stage, aliases, gate, age)


def _quoted(tracking_uri: str) -> str:
    """As a command takes it; one with a password only by the variable that holds it."""
    if redact_urls(tracking_uri) != tracking_uri:
        return '"$MLFLOW_TRACKING_URI"'
    return shlex.quote(tracking_uri)


def _ui(tracking_uri: str) -> str:
    if tracking_uri.startswith("http"):
        address = os.environ.get(UI) or public_url(tracking_uri)
        return f"open {address} in a browser: every run, picture and model"
    uri = _quoted(tracking_uri)
    return (
        f"{shlex.quote(sys.executable)} -m mlflow ui --backend-store-uri {uri}"
        "   # then open http://127.0.0.1:5000"
    )
