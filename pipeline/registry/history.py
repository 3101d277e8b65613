"""The record of moves in the registry: which version was champion when, and why."""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.registry.models import CHAMPION, TAG_LIMIT, model_tags, write_model_tag

PREFIX = "moves."
REASON_LIMIT = 300  # characters of a reason on record


@dataclass(frozen=True)
class Transition:
    """What one run did to one version.

    Attributes
    ----------
    when : datetime
        UTC, to the millisecond; later than every move made before, whatever the clocks say.
    stage_before, stage : str
        Tag `stage` before and after; `stage_before` is empty for a version that had none.
    aliases, without : tuple of str
        Gained and lost; what another version gained at the same time, this one lost.
    run_id : str
        Of the run that moved it; empty where nobody knows.
    by_hand : bool
        A person wanted it, not the gate.
    """

    when: dt.datetime
    version: str
    stage_before: str
    stage: str
    aliases: tuple[str, ...]
    without: tuple[str, ...]
    run_id: str
    why: str
    by_hand: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {
            "when": self.when.isoformat(timespec="milliseconds"),
            "version": self.version,
            "from": self.stage_before,
            "to": self.stage,
            "aliases": list(self.aliases),
            "without": list(self.without),
            "run_id": self.run_id,
            "why": self.why,
            "by_hand": self.by_hand,
        }


@dataclass(frozen=True)
class ChampionPeriod:
    """A version's time as champion: the move that began it, and its end, None for today's."""

    began: Transition
    ended: dt.datetime | None


def history(client: Any, name: str) -> list[Transition]:
    """Every move on record, oldest first; the record outlives versions and runs."""
    pages = model_tags(client, name, PREFIX)
    return [_move_from(row) for key in sorted(pages) for row in json.loads(pages[key])]


def champion_periods(moves: Iterable[Transition]) -> list[ChampionPeriod]:
    """Who was champion from when to when, in order."""
    found: list[ChampionPeriod] = []
    for move in moves:
        current = found[-1] if found and found[-1].ended is None else None
        gained = CHAMPION in move.aliases
        lost = current is not None and CHAMPION in move.without
        if current is not None and (gained or (lost and move.version == current.began.version)):
            found[-1] = ChampionPeriod(current.began, move.when)
        if gained:
            found.append(ChampionPeriod(move, None))
    return found


def champion_of(moves: Iterable[Transition]) -> str | None:
    """The champion after some moves."""
    last = champion_periods(moves)[-1:]
    return last[0].began.version if last and last[0].ended is None else None


def champion_periods_on(moves: Iterable[Transition], day: dt.date) -> list[ChampionPeriod]:
    """Who was champion at any moment of a day, UTC; usually one."""
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    end = start + dt.timedelta(days=1)
    return [
        r
        for r in champion_periods(moves)
        if r.began.when < end and (r.ended is None or r.ended > start)
    ]


def next_instant(moves: Sequence[Transition]) -> dt.datetime:
    """Now, UTC, to the millisecond; or just after the last move where a clock lags behind."""
    now = dt.datetime.now(dt.UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return max([now, *(move.when + dt.timedelta(milliseconds=1) for move in moves[-1:])])


def append_transitions(client: Any, name: str, moves: Sequence[Transition]) -> None:
    """Append moves to the last page, or begin a new one where it is full. Only within a turn."""
    if not moves:
        return
    pages = model_tags(client, name, PREFIX)
    key = max(pages, default=f"{PREFIX}00001")
    rows = json.loads(pages.get(key, "[]"))
    for move in moves:
        if len(_text([*rows, _row(move)])) > TAG_LIMIT:
            write_model_tag(client, name, key, _text(rows))
            key, rows = f"{PREFIX}{int(key.removeprefix(PREFIX)) + 1:05}", []
        rows.append(_row(move))
    write_model_tag(client, name, key, _text(rows))


def _text(rows: Sequence[Any]) -> str:
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False)


def _row(move: Transition) -> list[Any]:
    content = move.to_dict()
    return list({**content, "why": move.why[:REASON_LIMIT], "by_hand": int(move.by_hand)}.values())


def _move_from(row: Sequence[Any]) -> Transition:
    when, version, before, after, aliases, without, run_id, why, by_hand = row
    return Transition(
        dt.datetime.fromisoformat(when),
        version,
        before,
        after,
        tuple(aliases),
        tuple(without),
        run_id,
        why,
        bool(by_hand),
    )
