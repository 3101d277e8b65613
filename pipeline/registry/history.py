"""The record of stage and alias changes of a registered model, kept in its tags."""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.registry.versions import CHAMPION, TAG_LIMIT, model_tags, write_model_tag

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Of the names of the tags, which are numbered pages of JSON rows. MLflow's UI hides tags of the
# first: one fills the page of the model. Earlier releases wrote the second.
PREFIX, OLD_PREFIX = "mlflow.stockpred.moves.", "moves."
REASON_LIMIT = 300  # characters of a reason on record


@dataclass(frozen=True)
class Transition:
    """A change of one version's stage and aliases by one run.

    Attributes
    ----------
    when : datetime
        UTC, to the millisecond; later than every transition recorded before, whatever the clocks
        say.
    version : str
        Number of the version.
    stage_before, stage : str
        Tag `stage` before and after; `stage_before` is empty for a version that had none.
    aliases, removed_aliases : tuple of str
        Aliases gained and lost. One that another version gained at the same time is not listed as
        lost.
    run_id : str
        Run that made the change; empty where it is unknown.
    reason : str
        Sentence for people.
    by_hand : bool
        Whether a person decided it, not the gate.
    """

    when: dt.datetime
    version: str
    stage_before: str
    stage: str
    aliases: tuple[str, ...]
    removed_aliases: tuple[str, ...]
    run_id: str
    reason: str
    by_hand: bool

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, as decision.json and history.json hold it."""
        return {
            "when": self.when.isoformat(timespec="milliseconds"),
            "version": self.version,
            "from": self.stage_before,
            "to": self.stage,
            "aliases": list(self.aliases),
            "without": list(self.removed_aliases),
            "run_id": self.run_id,
            "why": self.reason,
            "by_hand": self.by_hand,
        }


@dataclass(frozen=True)
class ChampionPeriod:
    """A version's time as champion.

    Attributes
    ----------
    began : Transition
        Change that made it champion.
    ended : datetime or None
        UTC; None for the current champion.
    """

    began: Transition
    ended: dt.datetime | None


def history(client: "MlflowClient", name: str) -> list[Transition]:
    """Return every recorded transition of a registered model, oldest first.

    The record outlives versions and runs.
    """
    pages = model_tags(client, name, (PREFIX, OLD_PREFIX))
    return [_from_row(row) for key in sorted(pages, key=_number) for row in json.loads(pages[key])]


def champion_periods(transitions: Iterable[Transition]) -> list[ChampionPeriod]:
    """Return the periods of all champions, oldest first."""
    periods: list[ChampionPeriod] = []
    for transition in transitions:
        current = periods[-1] if periods and periods[-1].ended is None else None
        is_gained = CHAMPION in transition.aliases
        if current is not None:
            is_current = transition.version == current.began.version
            if is_gained or (is_current and CHAMPION in transition.removed_aliases):
                periods[-1] = ChampionPeriod(current.began, transition.when)
        if is_gained:
            periods.append(ChampionPeriod(transition, None))
    return periods


def champion_of(transitions: Iterable[Transition]) -> str | None:
    """Return the version that is champion after these transitions; None where none is."""
    last = champion_periods(transitions)[-1:]
    return last[0].began.version if last and last[0].ended is None else None


def champion_periods_on(transitions: Iterable[Transition], day: dt.date) -> list[ChampionPeriod]:
    """Return the champion periods that overlap a day, UTC; usually one."""
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    end = start + dt.timedelta(days=1)
    return [
        period
        for period in champion_periods(transitions)
        if period.began.when < end and (period.ended is None or period.ended > start)
    ]


def next_instant(transitions: Sequence[Transition]) -> dt.datetime:
    """Return now, UTC, to the millisecond; where the clock lags, 1 ms after the last transition."""
    now = dt.datetime.now(dt.UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return max([now, *(last.when + dt.timedelta(milliseconds=1) for last in transitions[-1:])])


def append_transitions(
    client: "MlflowClient", name: str, transitions: Sequence[Transition]
) -> None:
    """Append to the record; call it only under the model's lock.

    Fills the last page up to `TAG_LIMIT` characters, then begins another. Not idempotent: a second
    call appends the same rows again.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Name of the registered model.
    transitions : sequence of Transition
        In the order in which they happened.
    """
    if not transitions:
        return
    pages = model_tags(client, name, (PREFIX, OLD_PREFIX))
    last = max(pages, key=_number, default=_page(1))
    # A page of an earlier release is left as it is.
    key = last if last.startswith(PREFIX) else _page(_number(last) + 1)
    rows = json.loads(pages.get(key, "[]"))
    for transition in transitions:
        row = _row(transition)
        if len(_text([*rows, row])) > TAG_LIMIT:
            write_model_tag(client, name, key, _text(rows))
            key, rows = _page(_number(key) + 1), []
        rows.append(row)
    write_model_tag(client, name, key, _text(rows))


def _page(number: int) -> str:
    return f"{PREFIX}{number:05}"


def _number(page: str) -> int:
    return int(page.rpartition(".")[2])


def _text(rows: Sequence[Any]) -> str:
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False)


def _row(transition: Transition) -> list[Any]:
    *values, reason, by_hand = transition.to_dict().values()
    return [*values, reason[:REASON_LIMIT], int(by_hand)]


def _from_row(row: Sequence[Any]) -> Transition:
    when, version, before, after, aliases, removed, run_id, reason, by_hand = row
    when, aliases, removed = dt.datetime.fromisoformat(when), tuple(aliases), tuple(removed)
    return Transition(when, version, before, after, aliases, removed, run_id, reason, bool(by_hand))
