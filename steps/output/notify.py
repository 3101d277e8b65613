"""What machines are told when a chain has ended: the last log line, and the webhook."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from pipeline.errors import AlertRaised, Interrupted
from pipeline.log.console import is_json, log_context, logger
from pipeline.log.redact import public_url, redact
from pipeline.log.webhook import host_of, post_json
from pipeline.step import FinishedStep
from pipeline.tags import TAG_KEY_FIGURE, TAG_MODEL_VERSION
from steps.output.chain_summary import Standing

WEBHOOK = "STOCKPRED_WEBHOOK"
PATIENCE = 5.0  # seconds that the webhook may delay the end
PATIENCE_KILLED = 2.0  # whoever told the chain to stop waits
MOST = 50  # alerts that are told


@dataclass
class Ended:
    """What a chain came to; filled by it where it ends well."""

    finished: Sequence[FinishedStep] = ()
    alerts: Sequence[str] = ()
    standing: Standing | None = None


@contextmanager
def noticed(entry_point: str) -> Iterator[Ended]:
    """Tell how the block ends: a line for log collectors, and the webhook where one is given.

    It ends as it would without: a webhook that fails is one warning, and delays the end by
    `PATIENCE` at the most.
    """
    ended, began = Ended(), time.monotonic()
    try:
        yield ended
    except BaseException as error:
        killed = isinstance(error, (Interrupted, KeyboardInterrupt))
        if isinstance(error, AlertRaised) and not ended.alerts:
            ended.alerts = [str(error)]
        _tell(entry_point, "KILLED" if killed else "FAILED", ended, began, _words(error))
        raise
    _tell(entry_point, "FINISHED", ended, began, None)


def _tell(entry_point: str, status: str, ended: Ended, began: float, error: str | None) -> None:
    seconds = round(time.monotonic() - began, 3)
    run = log_context().get("run") or os.environ.get("MLFLOW_RUN_ID")
    about = {"event": "run_ended", "run": run, "step": entry_point}
    level = logging.INFO if status == "FINISHED" else logging.ERROR
    words = f"{entry_point}: {status}" + (f", {error}" if error else f" in {seconds:.1f} s")
    if is_json():  # people have the table, or the error
        fields = {**about, "status": status, "seconds": seconds}
        logger.log(level, words, extra=fields)
    url = os.environ.get(WEBHOOK, "").strip()
    if not url:
        return
    content = document(entry_point, status, ended, run, seconds, error)
    why = post_json(url, content, PATIENCE_KILLED if status == "KILLED" else PATIENCE)
    if why is not None:
        end = "the run stands as it is"
        logger.warning(
            f"{WEBHOOK} on {host_of(url)}: {why}; {end}", extra={**about, "event": "webhook"}
        )


def document(
    entry_point: str,
    status: str,
    ended: Ended,
    run: str | None,
    seconds: float,
    error: str | None,
) -> dict[str, Any]:
    """What the webhook is told, JSON-ready: figures and names, no secret and no data."""
    by_name = {done.step: done for done in ended.finished}
    registered = by_name.get("register")
    now = ended.standing
    # The newest word on a version: of who registered one, else of who forecast with one.
    named = [each for each in (registered, by_name.get("score")) if each is not None]
    return {
        "project": "stockpred",
        "entry_point": entry_point,
        "run_id": run,
        "status": status,
        "seconds": seconds,
        "error": redact(error) if error else None,
        "model_version": named[0].tags.get(TAG_MODEL_VERSION) if named else None,
        "stage": now.stage if now else None,
        "verdict": now.gate if now else None,
        "champion": now.champion if now else None,
        "alerts": [redact(each) for each in ended.alerts[:MOST]],
        "figures": {
            name: redact(done.tags.get(TAG_KEY_FIGURE, "")) for name, done in by_name.items()
        },
        "link": _link(run),
    }


def _link(run: str | None) -> str | None:
    """The run's page, where a server shows it; its address without user and password."""
    import mlflow

    uri, experiment = mlflow.get_tracking_uri(), log_context().get("experiment")
    if not uri.startswith("http") or run is None or experiment is None:
        return None
    address = public_url(uri).rstrip("/")
    return f"{address}/#/experiments/{experiment}/runs/{run}"


def _words(error: BaseException) -> str:
    told = error.format_message() if isinstance(error, click.ClickException) else str(error)
    return " ".join(told.split()) or type(error).__name__
