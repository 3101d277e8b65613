"""What people and machines are told of moves: decision.json, and the history as a table."""

import datetime as dt
import sys
from collections.abc import Sequence
from typing import Any

from pipeline.errors import InputError
from pipeline.log.console import logger
from pipeline.registry.history import (
    ChampionPeriod,
    Transition,
    champion_periods,
    champion_periods_on,
    history,
    next_instant,
)
from pipeline.registry.models import aliases_of, is_registered
from pipeline.registry.transitions import find_unrecorded, registry_state
from pipeline.run.step_run import StepRun
from pipeline.tags import TAG_MODEL_VERSION


def decided(
    run: StepRun,
    action: str,
    version: Any,
    stage: str,
    sentence: str,
    before: Any | None,
    moves: Sequence[Transition],
    **more: Any,
) -> None:
    """Write decision.json and the run's tags.

    Parameters
    ----------
    before : ModelVersion or None
        The champion that was met.
    more
        What else the decision rests on.
    """
    name = version.name
    run.write_json(
        "decision.json",
        {
            "registered_model": name,
            "action": action,
            "by_hand": action != "register",
            "version": str(version.version),
            "stage": stage,
            "aliases": aliases_of(run.client, name, version.version),
            "sentence": sentence,
            "champion_before": str(before.version) if before else None,
            "moves": [each.to_dict() for each in moves],
            **more,
        },
    )
    run.set_tags({TAG_MODEL_VERSION: f"{name}/{version.version}", "decision": sentence})
    run.set_key_figure(f"version {version.version}: {stage}")
    if action != "register":
        logger.info(f"{name}, version {version.version}: {stage}, {sentence}")


def tell_history(run: StepRun, registered_model: str, date: dt.date | None) -> None:
    """Print and store every move of a registered model, and who was champion on a day, UTC.

    Raises
    ------
    InputError
        No such registered model.
    """
    if not is_registered(run.client, registered_model):
        raise InputError(f"registered_model={registered_model!r}: no such name; run main first")
    moves = history(run.client, registered_model)
    moves += find_unrecorded(
        moves, registry_state(run.client, registered_model), next_instant(moves)
    )
    shown = (
        champion_periods_on(moves, date)
        if date
        else [r for r in champion_periods(moves) if r.ended is None]
    )
    run.write_json(
        "history.json",
        {
            "registered_model": registered_model,
            "date": date,
            "champions": [_reign(each) for each in shown],
            "moves": [each.to_dict() for each in moves],
        },
    )
    when = f"on {date} (UTC)" if date else "now"
    lines = [_sentence(each) for each in shown] or ["none"]
    lines = [f"Champion of {registered_model} {when}: {line}" for line in lines]
    sys.stdout.write("\n".join([*table(moves), "", *lines]) + "\n")
    sys.stdout.flush()
    run.set_key_figure(f"{len(moves)} moves; {lines[-1]}")


def table(moves: Sequence[Transition]) -> list[str]:
    """Moves as an aligned text table, a line each."""
    rows = [("when (UTC)", "version", "from", "to", "aliases", "by run", "why")]
    for each in moves:
        aliases = [f"+{a}" for a in each.aliases] + [f"-{a}" for a in each.removed_aliases]
        who = each.run_id + (" (by hand)" if each.by_hand else "")
        rows.append(
            (
                f"{each.when:%Y-%m-%d %H:%M:%S}",
                each.version,
                each.stage_before,
                each.stage,
                " ".join(aliases),
                who,
                each.reason,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _reign(each: ChampionPeriod) -> dict[str, Any]:
    told = each.began.to_dict()
    until = each.ended.isoformat(timespec="milliseconds") if each.ended else None
    kept = {name: told[name] for name in ("version", "run_id", "why", "by_hand")}
    return {**kept, "since": told["when"], "until": until}


def _sentence(each: ChampionPeriod) -> str:
    until = f" until {each.ended:%Y-%m-%d %H:%M}" if each.ended else ""
    by = f" by run {each.began.run_id}" if each.began.run_id else ""
    since = f"since {each.began.when:%Y-%m-%d %H:%M}"
    return f"version {each.began.version}, {since}{until},{by}: {each.began.reason}"
