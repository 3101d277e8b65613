"""Summary of a chain that every output renders: terminal, page of a CI job, webhook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.text.forecasts import format_day
from reports.text.verdict import verdict_sentence
from stockpred.columns import DATE, DIRECTION, ENTRY_DATE, PROBABILITY_UP, SYMBOL
from stockpred.monitoring.absence import absence_sentence

SHOWN = 20  # forecasts
NAMED = 10  # symbols of a list in a sentence
HEAD = ("symbol", "for", "P(up)", "direction")
NOTHING = "no direction, symbol, model or alert"
FIRST_NIGHT = "this is the first night"
REUSED = "no new bar, forecast or version"


@dataclass(frozen=True)
class ChainSummary:
    """Verdict, forecasts and changes of a chain.

    Attributes
    ----------
    verdict : str or None
        Sentence of the evaluation of the model.
    model : str or None
        The version that forecasts, and that there is no champion yet where that is so.
    forecasts : sequence of mapping
        As `night.describe_forecasts` gives them.
    changes : sequence of str
        Changes since the night before; one sentence says so where there are none.
    """

    verdict: str | None = None
    model: str | None = None
    forecasts: Sequence[Mapping[str, Any]] = ()
    changes: Sequence[str] = ()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Cells of the table of forecasts, the head first; none without a forecast."""
        if not self.forecasts:
            return []
        return [HEAD, *map(_cells, self.forecasts[:SHOWN])]

    @property
    def more(self) -> int:
        """Number of forecasts that `rows` leaves out."""
        return max(0, len(self.forecasts) - SHOWN)


def summarise(
    evaluation: Mapping[str, Any] | None,
    monitoring: Mapping[str, Any] | None,
    *,
    is_reused: bool = False,
) -> ChainSummary:
    """Summarise what the steps of a chain wrote.

    Parameters
    ----------
    evaluation, monitoring : mapping, optional
        Content of evaluation.json and monitoring.json; None where the chain wrote none.
    is_reused : bool
        Whether `monitor` was answered from the cache: its changes are those of an earlier run.

    Returns
    -------
    ChainSummary
        The verdict is that of this chain's training, or else of the version that forecasts.
    """
    verdict = verdict_sentence(evaluation) if evaluation else None
    night = (monitoring or {}).get("night")  # monitoring.json of an earlier version lacks it
    if not monitoring or not night:
        return ChainSummary(verdict)
    model = f"version {night['version']} of {monitoring['registered_model']}"
    if not night["is_champion"]:
        model += ", until there is a champion: no version has passed the gate yet"
    changes = _changes(night, monitoring)
    if is_reused:
        changes = [REUSED, *(f"at the last run: {change}" for change in changes)]
    elif not changes:
        changes = [FIRST_NIGHT if night["previous_version"] is None else NOTHING]
    return ChainSummary(verdict or night["verdict"], model, night["forecasts"], changes)


def _changes(night: Mapping[str, Any], monitoring: Mapping[str, Any]) -> list[str]:
    changes = []
    if night["previous_version"] not in (None, night["version"]):
        changes.append(
            f"version {night['version']} forecasts instead of {night['previous_version']}"
        )
    directions = {row[SYMBOL]: row[DIRECTION] for row in night["forecasts"]}
    for direction, word in ((1, "up"), (0, "down")):
        if symbols := [name for name in night["flips"] if directions[name] == direction]:
            changes.append(f"turned {word}: {_list(symbols)}")
    if night["new_symbols"]:
        changes.append(f"new: {_list(night['new_symbols'])}")
    if sentence := absence_sentence(monitoring["data"]["absent"]):
        changes.append(sentence.removesuffix("."))
    changes += [f"new alert: {sentence}" for sentence in night["new_alerts"]]
    return changes


def _cells(forecast: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(forecast[SYMBOL]),
        format_day(forecast, ENTRY_DATE, f"the session after {forecast[DATE]}"),
        f"{forecast[PROBABILITY_UP]:.3f}",
        "up" if forecast[DIRECTION] else "down",
    )


def _list(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - NAMED:,} more" if len(symbols) > NAMED else ""
    return f"{', '.join(symbols[:NAMED])}{more}"
