"""Notices for machines that a chain has ended: a JSON log line, and the webhook."""

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click

from pipeline.errors import AlertRaised, Interrupted
from pipeline.log.console import is_json, log_context, logger
from pipeline.log.redact import public_url, redact
from pipeline.log.webhook import host_of, post_json
from pipeline.step import FinishedStep
from pipeline.tags import TAG_KEY_FIGURE, TAG_MODEL_VERSION
from pipeline.tracking.ui_pages import run_page
from reports.text.chain_summary import ChainSummary
from steps.output.chain_summary import VersionStatus, summary_lines

WEBHOOK = "STOCKPRED_WEBHOOK"
TIMEOUT = 5.0  # seconds that the webhook may delay the exit
TIMEOUT_KILLED = 2.0  # shorter: the process that sent the signal is waiting
MAX_ALERTS, MAX_FORECASTS = 50, 200  # in the webhook's payload


@dataclass
class ChainResult:
    """Result of a chain, filled in as it becomes known.

    Attributes
    ----------
    finished : sequence of FinishedStep
    alerts : sequence of str
        One sentence each.
    version : VersionStatus, optional
        Status of the version that the chain registered.
    summary : ChainSummary
        Verdict, forecasts and changes.
    """

    finished: Sequence[FinishedStep] = ()
    alerts: Sequence[str] = ()
    version: VersionStatus | None = None
    summary: ChainSummary = field(default_factory=ChainSummary)


@dataclass(frozen=True)
class ChainEnd:
    """How and when a chain ended.

    Attributes
    ----------
    entry_point : str
    status : str
        ``FINISHED``, ``FAILED`` or ``KILLED``.
    run_id : str, optional
        None: the chain ended before it had a run.
    seconds : float
    error : str, optional
        One line.
    """

    entry_point: str
    status: str
    run_id: str | None
    seconds: float
    error: str | None


@contextmanager
def end_notice(entry_point: str) -> Iterator[ChainResult]:
    """Send the notices when the block ends: a JSON log line, and the webhook where one is set.

    The notices do not change how the block ends: a webhook that fails logs one warning, and delays
    the exit by `TIMEOUT` at most.

    Parameters
    ----------
    entry_point : str

    Yields
    ------
    ChainResult
        For the block to fill in.
    """
    result, began = ChainResult(), time.monotonic()
    status, error_text = "FINISHED", None
    try:
        yield result
    except BaseException as error:
        is_killed = isinstance(error, (Interrupted, KeyboardInterrupt))
        status, error_text = "KILLED" if is_killed else "FAILED", _one_line(error)
        if isinstance(error, AlertRaised) and not result.alerts:
            result.alerts = [str(error)]
        # A chain that fails late has forecasts all the same.
        sys.stdout.write("".join(f"{line}\n" for line in summary_lines(result.summary)))
        raise
    finally:
        seconds = round(time.monotonic() - began, 3)
        run_id = log_context.get("run") or os.environ.get("MLFLOW_RUN_ID")
        _notify(ChainEnd(entry_point, status, run_id, seconds, error_text), result)


def _notify(end: ChainEnd, result: ChainResult) -> None:
    fields = {"event": "run_ended", "run": end.run_id, "step": end.entry_point}
    level = logging.INFO if end.status == "FINISHED" else logging.ERROR
    text = f"{end.entry_point}: {end.status}"
    text += f", {end.error}" if end.error else f" in {end.seconds:.1f} s"
    if is_json():  # a terminal shows the table or the error instead
        extra = {**fields, "status": end.status, "seconds": end.seconds}
        logger.log(level, text, extra=extra)
    url = os.environ.get(WEBHOOK, "").strip()
    if not url:
        return
    timeout = TIMEOUT_KILLED if end.status == "KILLED" else TIMEOUT
    reason = post_json(url, webhook_payload(end, result), timeout)
    if reason is not None:
        logger.warning(
            f"{WEBHOOK} on {host_of(url)}: {reason}; the run is not affected",
            extra={**fields, "event": "webhook"},
        )


def webhook_payload(end: ChainEnd, result: ChainResult) -> dict[str, Any]:
    """Build the webhook's payload: figures and names, no secret and no data.

    Parameters
    ----------
    end : ChainEnd
    result : ChainResult

    Returns
    -------
    dict
        JSON-ready.
    """
    by_name = {step.step: step for step in result.finished}
    # Both tag the version they used: the registered one counts before the one that forecast.
    steps = [by_name[name] for name in ("register", "score") if name in by_name]
    version = result.version
    return {
        "project": "stockpred",
        "entry_point": end.entry_point,
        "run_id": end.run_id,
        "status": end.status,
        "seconds": end.seconds,
        "error": redact(end.error) if end.error else None,
        "model_version": steps[0].tags.get(TAG_MODEL_VERSION) if steps else None,
        "stage": version.stage if version else None,
        "verdict": version.gate if version else None,
        "champion": version.champion if version else None,
        "evidence": result.summary.verdict,
        "forecasts": [dict(row) for row in result.summary.forecasts[:MAX_FORECASTS]],
        "changes": [redact(change) for change in result.summary.changes],
        "alerts": [redact(alert) for alert in result.alerts[:MAX_ALERTS]],
        "figures": {
            name: redact(step.tags.get(TAG_KEY_FIGURE, "")) for name, step in by_name.items()
        },
        "link": _link(end.run_id),
    }


def _link(run_id: str | None) -> str | None:
    """Return the address of the run's page on a server, without user and password."""
    import mlflow  # noqa: PLC0415 - costs 2 s of CPU, needed only where a webhook is set

    uri, experiment = mlflow.get_tracking_uri(), log_context.get("experiment")
    if not uri.startswith("http") or run_id is None or experiment is None:
        return None
    return run_page(str(experiment), run_id, server=public_url(uri))


def _one_line(error: BaseException) -> str:
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    return " ".join(text.split()) or type(error).__name__
