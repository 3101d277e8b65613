"""Sequential looks at hypotheses: the record of tests, with alpha spending over hypotheses."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import DATE, FORWARD_RETURN, LABEL, PRIOR, SYMBOL
from stockpred.gate.e_process import EProcess, date_gains, start_e_process

SHORT = 16  # hex digits of an id: 64 bits


@dataclass(frozen=True)
class Hypothesis:
    """Hypothesis that a recipe has skill on some symbols beyond a reference.

    Attributes
    ----------
    recipe : str
        First hex digits of the recipe's id.
    symbols : str
        Digest of the symbols: another universe is another hypothesis.
    against : str
        Reference: ``prior``, or the first hex digits of the id of the champion's recipe.
    """

    recipe: str
    symbols: str
    against: str

    @property
    def id(self) -> str:
        """Hex digest of the three."""
        return _digest([self.recipe, self.symbols, self.against])


@dataclass(frozen=True)
class Look:
    """Latest look at a hypothesis.

    Attributes
    ----------
    hypothesis : Hypothesis
        What is tested.
    index : int
        Place of the hypothesis among those tested against its reference, from 1; 0 before the
        first look.
    looks : int
        Number of looks so far; 0: the hypothesis's place is only reserved.
    data : str
        Digest of the data of the latest look.
    first, last : str
        ISO dates of the first and the last bet; empty before the first.
    e_processes : mapping of str to EProcess
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
        """Log e-value against the reference that is hardest to beat."""
        return min((process.log_e_value for process in self.e_processes.values()), default=0.0)

    @property
    def p_value(self) -> float:
        """P-value that is valid at any number of looks at this hypothesis."""
        return max((process.p_value for process in self.e_processes.values()), default=1.0)

    @property
    def adjusted_p_value(self) -> float:
        """P-value that is valid also over all hypotheses tested against the reference."""
        return min(1.0, self.p_value / alpha_share(self.index))

    def to_text(self) -> str:
        """Return compact JSON, well below the 5,000 characters that a registry's tag may have."""
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
        e_processes = {
            name: EProcess(
                state["horizon"],
                state["dates"],
                tuple(tuple(stakes) for stakes in state["log_wealth"]),
                tuple(state["block"]),
            )
            for name, state in content["evidence"].items()
        }
        return cls(
            Hypothesis(**content["question"]),
            content["index"],
            content["looks"],
            content["data"],
            content["first"],
            content["last"],
            e_processes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data for decision.json."""
        return {
            **asdict(self.hypothesis),
            "index": self.index,
            "looks": self.looks,
            "dates": max((process.dates for process in self.e_processes.values()), default=0),
            "first": self.first,
            "last": self.last,
            "log_e_value": self.log_e_value,
            "p_value": self.p_value,
            "adjusted_p_value": self.adjusted_p_value,
        }


@dataclass(frozen=True, eq=False)
class LookData:
    """What a look reads.

    Attributes
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them: each by a model fixed before its date.
    references : sequence of str
        Columns with the probabilities to beat.
    digest : str
        Hex digest of the data behind the predictions: the same again is no new look.
    horizon : int
        Sessions from entry to exit.
    """

    predictions: pd.DataFrame
    references: Sequence[str]
    digest: str
    horizon: int


def alpha_share(index: int) -> float:
    """Return the share of alpha that the `index`-th hypothesis spends; the shares sum to 1.

    Examples
    --------
    >>> [round(alpha_share(index), 3) for index in (1, 2, 3)]
    [0.5, 0.167, 0.083]
    """
    return 1 / (index * (index + 1))


def hypothesis_of(recipe_id: str, predictions: pd.DataFrame, against: str = PRIOR) -> Hypothesis:
    """Return the hypothesis that predictions of a recipe can test.

    Parameters
    ----------
    recipe_id : str
        Hex digest.
    predictions : DataFrame
        Its symbols belong to the hypothesis; their order does not matter.
    against : str
        Reference: ``prior``, or the id of the champion's recipe.

    Returns
    -------
    Hypothesis
        Equal for the same recipe, symbols and reference.
    """
    symbols = sorted(map(str, predictions[SYMBOL].unique()))
    return Hypothesis(recipe_id[:SHORT], _digest(symbols), against[:SHORT])


def reserve_look(hypothesis: Hypothesis) -> Look:
    """Take a hypothesis's place in the record before its first look."""
    return Look(hypothesis, 0, 0, "", "", "", {})


def add_look(record: Iterable[Look], hypothesis: Hypothesis, data: LookData) -> Look:
    """Look at a hypothesis once more.

    Bets on the dates after the last one bet on; the same data again is no new look.

    Parameters
    ----------
    record : iterable of Look
        Looks so far, at this hypothesis and others; of several at one the furthest counts.
    hypothesis : Hypothesis
        What is tested.
    data : LookData
        What is known by now.

    Returns
    -------
    Look
        The record's own where `data` is that of the last look.
    """
    looks = list(record)
    own = [look for look in looks if look.hypothesis == hypothesis and look.looks]
    tested = {look.hypothesis for look in looks if look.hypothesis.against == hypothesis.against}
    last = max(
        own,
        key=lambda look: (look.last, look.looks),
        default=Look(hypothesis, len(tested | {hypothesis}), 0, "", "", "", {}),
    )
    digest = data.digest[:SHORT]
    if digest == last.data:
        return last
    rows = complete_dates(data.predictions, data.horizon)
    if last.last:
        rows = rows[rows[DATE] > np.datetime64(last.last, "s")]
    e_processes = {}
    for name in data.references:
        process = last.e_processes.get(name, start_e_process(data.horizon))
        e_processes[name] = process.bet(*date_gains(rows[rows[name].notna()], name))
    first, end = (
        f"{rows[DATE].agg(edge):%Y-%m-%d}" if len(rows) else "" for edge in ("min", "max")
    )
    # Two looks at a time start from the same one: each of them counts.
    most = max((look.looks for look in own), default=0)
    count = most + max(1, sum(look.looks == most for look in own))
    return replace(
        last,
        looks=count,
        data=digest,
        first=last.first or first,
        last=end or last.last,
        e_processes=e_processes,
    )


def complete_dates(predictions: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Select the labelled rows of the dates on which no outcome is still to come.

    A date is bet on once: where symbols trade on different days, it waits for the last of them, and
    a limited time for a symbol that ended without an outcome.

    Parameters
    ----------
    predictions : DataFrame
        date, label, forward_return (NaN: not known).
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    DataFrame
        Rows before the first date that waits.
    """
    unknown = predictions.loc[predictions[FORWARD_RETURN].isna(), DATE]
    longest_wait = pd.Timedelta(days=7 + 2 * horizon)
    waiting = unknown[unknown > predictions[DATE].max() - longest_wait]
    is_complete = predictions[LABEL].notna()
    if len(waiting):
        is_complete &= predictions[DATE] < waiting.min()
    return predictions[is_complete]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:SHORT]
