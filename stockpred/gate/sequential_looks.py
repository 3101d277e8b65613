"""The record of looks: what was asked of which recipe, how often, and the evidence so far."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import DATE, FORWARD_RETURN, LABEL, PRIOR, SYMBOL
from stockpred.gate.e_process import EProcess, date_gains, start_e_process

SHORT = 16  # hex digits of an id: 64 bits


@dataclass(frozen=True)
class Hypothesis:
    """Has a recipe skill on some symbols beyond a reference?

    Attributes
    ----------
    recipe, symbols : str
        Start of the recipe's id; digest of the symbols. Another universe is another try.
    against : str
        ``prior``, or the start of the id of the champion's recipe.
    """

    recipe: str
    symbols: str
    against: str

    @property
    def id(self) -> str:
        """Hex digest."""
        return _digest([self.recipe, self.symbols, self.against])


@dataclass(frozen=True)
class Look:
    """The latest look at a question; what a look adds are the dates after the last one bet on.

    Attributes
    ----------
    index : int
        The question is the `index`-th asked against this reference; from 1.
    looks : int
        How often it was looked at; 0 for a claim, which only holds the question's place.
    data : str
        Digest of the data last looked at: the same again is no new look.
    first, last : str
        ISO dates of the first and the last bet; empty before the first.
    e_processes : mapping of str to Evidence
        By the column of the reference.
    """

    hypothesis: Hypothesis
    index: int
    looks: int
    data: str
    first: str
    last: str
    e_processes: Mapping[str, EProcess]

    @property
    def log_e_value(self) -> float:
        """Of the reference that is hardest to beat."""
        return min((each.log_e_value for each in self.e_processes.values()), default=0.0)

    @property
    def p_value(self) -> float:
        """Valid at any number of looks at this question."""
        return max((each.p_value for each in self.e_processes.values()), default=1.0)

    @property
    def adjusted_p_value(self) -> float:
        """Valid also over all questions asked against the reference, at most 1."""
        return min(1.0, self.p_value / alpha_share(self.index))

    def to_text(self) -> str:
        """As compact JSON, well below the 5,000 characters that a registry's tag may have."""
        content = {
            "question": asdict(self.hypothesis),
            "index": self.index,
            "looks": self.looks,
            "data": self.data,
            "first": self.first,
            "last": self.last,
            "evidence": {name: asdict(process) for name, process in self.e_processes.items()},
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "Look":
        """Read what `to_text` wrote."""
        content = json.loads(text)
        evidence = {
            name: EProcess(
                each["horizon"],
                each["dates"],
                tuple(tuple(row) for row in each["log_wealth"]),
                tuple(each["block"]),
            )
            for name, each in content["evidence"].items()
        }
        return cls(
            Hypothesis(**content["question"]),
            content["index"],
            content["looks"],
            content["data"],
            content["first"],
            content["last"],
            evidence,
        )

    def to_dict(self) -> dict[str, Any]:
        """For people, JSON-ready."""
        return {
            **asdict(self.hypothesis),
            "index": self.index,
            "looks": self.looks,
            "dates": max((each.dates for each in self.e_processes.values()), default=0),
            "first": self.first,
            "last": self.last,
            "log_e_value": self.log_e_value,
            "p_value": self.p_value,
            "adjusted_p_value": self.adjusted_p_value,
        }


def alpha_share(index: int) -> float:
    """Share of the level that the `index`-th question gets; all shares together are 1."""
    return 1 / (index * (index + 1))


def hypothesis_of(recipe_id: str, predictions: pd.DataFrame, against: str = PRIOR) -> Hypothesis:
    """The question that predictions of a recipe can answer."""
    symbols = sorted(map(str, predictions[SYMBOL].unique()))
    return Hypothesis(recipe_id[:SHORT], _digest(symbols), against[:SHORT])


def reserve_look(asked: Hypothesis) -> Look:
    """A question's place in the record before it is looked at."""
    return Look(asked, 0, 0, "", "", "", {})


def add_look(
    record: Iterable[Look],
    asked: Hypothesis,
    predictions: pd.DataFrame,
    references: Sequence[str],
    data: str,
    horizon: int,
) -> Look:
    """Look at a question once more.

    Parameters
    ----------
    record : iterable of Look
        Looks so far, of this question and others; of several at one question the furthest counts.
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them: each made by a model fixed before its date.
    references : sequence of str
        Columns of the forecasts to beat.
    data : str
        Digest of the data behind the predictions.
    """
    others = list(record)
    mine = [each for each in others if each.hypothesis == asked and each.looks]
    asked_before = {each.hypothesis for each in others if each.hypothesis.against == asked.against}
    base = max(
        mine,
        key=lambda each: (each.last, each.looks),
        default=Look(asked, len(asked_before | {asked}), 0, "", "", "", {}),
    )
    data = data[:SHORT]
    if data == base.data:
        return base
    rows = complete_dates(predictions, horizon)
    if base.last:
        rows = rows[rows[DATE] > np.datetime64(base.last, "s")]
    evidence = {}
    for name in references:
        known = rows[rows[name].notna()]
        evidence[name] = base.e_processes.get(name, start_e_process(horizon)).bet(
            *date_gains(known, name)
        )
    first, last = (f"{rows[DATE].agg(end):%Y-%m-%d}" if len(rows) else "" for end in ("min", "max"))
    # Two at once start from the same look: each of them was one.
    top = max((each.looks for each in mine), default=0)
    looks = top + max(1, sum(each.looks == top for each in mine))
    return Look(asked, base.index, looks, data, base.first or first, last or base.last, evidence)


def complete_dates(predictions: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Labelled rows of the dates on which no outcome is still to come.

    A date is bet on once: where symbols trade on different days, it waits for the last of them;
    for one that ended without an outcome, only a while.
    """
    coming = predictions.loc[predictions[FORWARD_RETURN].isna(), DATE]
    patience = pd.Timedelta(days=7 + 2 * horizon)
    waiting = coming[coming > predictions[DATE].max() - patience]
    is_complete = predictions[LABEL].notna()
    if len(waiting):
        is_complete &= predictions[DATE] < waiting.min()
    return predictions[is_complete]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:SHORT]
