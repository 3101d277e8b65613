"""Table of a registered model's history: every change of stage and alias, and its champions."""

import datetime as dt
import sys
from collections.abc import Sequence
from typing import Any

from pipeline.errors import InputError
from pipeline.log.console import text_table
from pipeline.registry.history import (
    ChampionPeriod,
    Transition,
    champion_periods,
    champion_periods_on,
    history,
    next_instant,
)
from pipeline.registry.transitions import find_unrecorded, registry_state
from pipeline.registry.versions import is_registered
from pipeline.run.step_run import StepRun

HEAD = ("when (UTC)", "version", "from", "to", "aliases", "by run", "why")


def show_history(run: StepRun, registered_model: str, date: dt.date | None) -> None:
    """Print every change of a registered model and its champion, and write history.json.

    Parameters
    ----------
    run : StepRun
    registered_model : str
    date : date, optional
        UTC day whose champions are shown; None: the current champion.

    Raises
    ------
    InputError
        No such registered model.
    """
    if not is_registered(run.client, registered_model):
        raise InputError(
            f"registered_model={registered_model!r}",
            expected="a registered model",
            got="no such name",
            fix="run main first, or give another name",
        )
    transitions = history(run.client, registered_model)
    state = registry_state(run.client, registered_model)
    transitions += find_unrecorded(transitions, state, next_instant(transitions))
    periods = (
        [period for period in champion_periods(transitions) if period.ended is None]
        if date is None
        else champion_periods_on(transitions, date)
    )
    run.write_json(
        "history.json",
        {
            "registered_model": registered_model,
            "date": date,
            "champions": [_period_dict(period) for period in periods],
            "moves": [transition.to_dict() for transition in transitions],
        },
    )
    when = f"on {date} (UTC)" if date else "now"
    champions = [_period_text(period) for period in periods] or ["none"]
    lines = [f"Champion of {registered_model} {when}: {champion}" for champion in champions]
    sys.stdout.write("\n".join([*history_table(transitions), "", *lines]) + "\n")
    sys.stdout.flush()
    run.set_key_figure(f"{len(transitions)} moves; {lines[-1]}")


def history_table(transitions: Sequence[Transition]) -> list[str]:
    """Format transitions as an aligned text table, one line each below the head."""
    return text_table([HEAD, *(_row(transition) for transition in transitions)])


def _row(transition: Transition) -> tuple[str, ...]:
    added = [f"+{alias}" for alias in transition.aliases]
    removed = [f"-{alias}" for alias in transition.removed_aliases]
    return (
        f"{transition.when:%Y-%m-%d %H:%M:%S}",
        transition.version,
        transition.stage_before,
        transition.stage,
        " ".join(added + removed),
        transition.run_id + (" (by hand)" if transition.by_hand else ""),
        transition.reason,
    )


def _period_dict(period: ChampionPeriod) -> dict[str, Any]:
    began = period.began.to_dict()
    until = period.ended.isoformat(timespec="milliseconds") if period.ended else None
    kept = {name: began[name] for name in ("version", "run_id", "why", "by_hand")}
    return {**kept, "since": began["when"], "until": until}


def _period_text(period: ChampionPeriod) -> str:
    began = period.began
    until = f" until {period.ended:%Y-%m-%d %H:%M}" if period.ended else ""
    run = f", by run {began.run_id}" if began.run_id else ""
    since = f"since {began.when:%Y-%m-%d %H:%M}"
    return f"version {began.version}, {since}{until}{run}: {began.reason}"
