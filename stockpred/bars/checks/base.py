"""What a check of bars consists of."""

from collections.abc import Callable
from dataclasses import dataclass

from stockpred.arrays import Mask
from stockpred.bars.bar_arrays import BarArrays

FAIL = "fail"
WARN = "warn"


@dataclass(frozen=True)
class Check:
    """One rule for the bars of a symbol.

    Attributes
    ----------
    name : str
        Short name in reports and metrics.
    level : str
        ``fail``: the bar is quarantined. ``warn``: it is kept and reported.
    rule : str
        What holds for sound bars.
    find : callable
        `BarArrays` -> mask of shape (sessions,), True where the rule is broken. A check of level
        ``fail`` decides on a row by the bars up to the row's date only: no bar may be removed with
        hindsight.
    """

    name: str
    level: str
    rule: str
    find: Callable[[BarArrays], Mask]
