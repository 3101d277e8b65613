"""Numbers with the digits that their intervals justify."""

import math
from collections.abc import Sequence

DECIMALS = 4  # without an interval to go by
MOST_DECIMALS = 6


def decimals_of(interval: Sequence[float] | None) -> int:
    """Count the decimals that are worth showing: two digits of half the interval's width.

    Parameters
    ----------
    interval : sequence of float, optional
        Lower and upper bound.

    Returns
    -------
    int
        `DECIMALS` without an interval, or for one of no width.

    Examples
    --------
    >>> decimals_of((0.5277, 0.5744)), decimals_of((-2.1, 0.34)), decimals_of(None)
    (3, 1, 4)
    """
    half = 0.0 if interval is None else (interval[1] - interval[0]) / 2
    if not half > 0:
        return DECIMALS
    return min(max(1 - math.floor(math.log10(half)), 0), MOST_DECIMALS)


def format_number(value: float | None, interval: Sequence[float] | None = None) -> str | None:
    """Format a number with the digits that its interval justifies; None stays None.

    Examples
    --------
    >>> format_number(0.55019, (0.5277, 0.5744)), format_number(-0.00001)
    ('0.550', '0.0000')
    """
    return None if value is None else f"{value:z.{decimals_of(interval)}f}"


def format_interval(interval: Sequence[float] | None) -> str | None:
    """Format an interval with the digits that its width justifies; None stays None.

    Examples
    --------
    >>> format_interval((0.5277, 0.5744))
    '0.528 to 0.574'
    """
    if interval is None:
        return None
    low, high = (format_number(bound, interval) for bound in interval)
    return f"{low} to {high}"


def format_percent(value: float | None, interval: Sequence[float] | None = None) -> str | None:
    """Format a share as a percentage, and its interval if there is one; None stays None.

    Examples
    --------
    >>> format_percent(0.5326), format_percent(0.5326, (0.5105, 0.5545))
    ('53.3 %', '53.3 % (51.0 to 55.5)')
    """
    if value is None:
        return None
    if interval is None:
        return f"{100 * value:.1f} %"
    low, high = (100 * bound for bound in interval)
    return f"{100 * value:.1f} % ({low:.1f} to {high:.1f})"


def format_change(value: float) -> str:
    """Format a relative change as a signed percentage.

    Examples
    --------
    >>> format_change(0.2519), format_change(-0.2)
    ('+25.2 %', '-20.0 %')
    """
    return f"{100 * value:+z.1f} %"


def format_p(value: float) -> str:
    """Format a p-value with two digits.

    Examples
    --------
    >>> format_p(0.01393), format_p(1e-7)
    ('p = 0.014', 'p < 0.0001')
    """
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"
