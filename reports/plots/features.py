"""Plots of the feature table: prices, balance of the label, correlations, distributions."""

from collections.abc import Mapping, Sequence

import numpy as np

from reports.plots.canvas import Canvas, draw_ranked_bars, text_width
from reports.plots.figure import BASELINE, DOWN, GRID, MODEL, Picture
from stockpred.arrays import Array, Dates, Rows
from stockpred.bars.price_history import PriceHistory
from stockpred.features.summary import DateCounts, FeatureSummary

MOST_PERIODS = 24  # of the balance of the label
MIN_DATES = 5  # of a period, for an interval
MOST_BARS = 15
_MONTHS = {"month": 1, "quarter": 3, "year": 12, "5 years": 60, "25 years": 300}


def draw_prices(histories: Sequence[PriceHistory]) -> list[Picture]:
    """Draw the price of each symbol, on a scale of logs, over dates that all have in common.

    Parameters
    ----------
    histories : sequence of PriceHistory

    Returns
    -------
    list of Picture
        Titled by symbol. A line is interrupted, and marked, where the history is cut.
    """
    if not histories:
        return []
    first = min(history.dates[0] for history in histories)
    last = max(history.dates[-1] for history in histories)
    return [_draw_price(history, first, last) for history in histories]


def _draw_price(history: PriceHistory, first: np.datetime64, last: np.datetime64) -> Picture:
    width, height, floor = 152.0, 74.0, 58.0
    canvas = Canvas(width, height)
    days = max((last - first).astype("timedelta64[s]").astype(float), 1.0)
    x = 3 + (history.dates - first).astype("timedelta64[s]").astype(float) / days * (width - 6)
    log = np.log(history.prices)
    spread = np.ptp(log)
    y = floor - 4 - (log - log.min()) / (spread or 1.0) * (floor - 18)
    canvas.line([(0, floor), (width, floor)], BASELINE)
    for number in np.unique(history.ranges):
        inside = history.ranges == number
        points = list(zip(x[inside].tolist(), y[inside].tolist(), strict=True))
        if number:
            canvas.line([(points[0][0], 12), (points[0][0], floor)], DOWN, dashed=True)
        if len(points) > 1:
            canvas.line(points, MODEL, width=1.1)
        if len(points) < 8:
            for place in points:
                canvas.dot(*place, radius=1.6)
    days_shown = sorted({str(first)[:10], str(last)[:10]})
    canvas.text(0, height - 4, days_shown[0])
    if len(days_shown) > 1:
        canvas.text(width, height - 4, days_shown[1], "end")
    canvas.text(width, 8, f"{np.exp(log[-1] - log[0]):.2g} times", "end")
    return canvas.picture(history.symbol)


def group_dates(dates: Dates, most: int) -> tuple[str, list[str], Rows]:
    """Group dates into at most `most` calendar periods of one length, the shortest possible.

    Parameters
    ----------
    dates : array of datetime64, shape (dates,)
        In order; at least one.
    most : int
        From the first to the last period, those without a date included.

    Returns
    -------
    unit : str
        ``date``, ``week``, ``month``, ``quarter``, ``year``, ``5 years`` or ``25 years``.
    names : list of str
        Of each period from the first to the last.
    period : array of int, shape (dates,)
        Of each date.

    Examples
    --------
    >>> texts = ["2024-01-31", "2024-02-01", "2024-05-31", "2024-08-01"]
    >>> days = np.array(texts, dtype="datetime64[s]")
    >>> unit, names, period = group_dates(days, most=3)
    >>> unit, names, period.tolist()
    ('quarter', ['2024 Q1', '2024 Q2', '2024 Q3'], [0, 0, 1, 2])
    """
    if len(dates) <= min(most, 7):
        return "date", [str(date)[:10] for date in dates], np.arange(len(dates))
    day = dates.astype("datetime64[D]").astype(np.int64)
    month = dates.astype("datetime64[M]").astype(np.int64)
    periods = {"week": (day + 3) // 7}
    periods |= {unit: month // months for unit, months in _MONTHS.items()}
    unit = next((name for name, key in periods.items() if np.ptp(key) < most), "25 years")
    key = periods[unit]
    return unit, [_period_name(unit, one) for one in range(key[0], key[-1] + 1)], key - key[0]


def _period_name(unit: str, number: int) -> str:
    if unit == "week":
        return str(np.datetime64(number * 7 - 3, "D"))
    month = np.datetime64(number * _MONTHS[unit], "M")
    if unit == "quarter":
        return f"{str(month)[:4]} Q{number % 4 + 1}"
    return str(month) if unit == "month" else str(month)[:4]


def draw_label_balance(counts: DateCounts) -> Picture:
    """Draw the share of ups by period, with 95 % intervals, around the share of all rows.

    Parameters
    ----------
    counts : DateCounts
        At least one date. An interval counts the rows of a date as one observation.

    Returns
    -------
    Picture
    """
    unit, names, period = group_dates(counts.dates, MOST_PERIODS)
    rows, ups = (np.bincount(period, values, len(names)) for values in (counts.rows, counts.ups))
    dates = np.bincount(period, minlength=len(names))
    known = dates > 0
    share = np.divide(ups, rows, out=np.full(len(names), np.nan), where=known)
    half = 1.96 * np.sqrt(share * (1 - share) / np.maximum(dates, 1))
    half[dates < MIN_DATES] = 0.0
    whole = float(counts.ups.sum() / counts.rows.sum())
    ends = np.concatenate([(share - half)[known], (share + half)[known], [whole]])
    ticks = _ticks(max(float(ends.min()), 0.0), min(float(ends.max()), 1.0))
    intervals = ", with 95 % intervals" if half[known].any() else ""
    width, height = 430.0, 190.0
    left, right, top, floor = 34.0, width - 66, 8.0, height - 24
    canvas = Canvas(width, height)

    def level(value: float) -> float:
        return float(floor - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (floor - top))

    for tick in ticks:
        canvas.line([(left, level(tick)), (right, level(tick))], GRID)
        canvas.text(left - 4, level(tick) + 3, f"{100 * tick:.0f} %", "end")
    canvas.line([(left, level(whole)), (right, level(whole))], BASELINE, dashed=True)
    canvas.text(right + 3, level(whole) + 3, f"all: {100 * whole:.1f} %")
    step = (right - left) / len(names)
    for number in np.flatnonzero(known).tolist():
        x = left + step * (number + 0.5)
        low, high = max(share[number] - half[number], 0), min(share[number] + half[number], 1)
        canvas.line([(x, level(low)), (x, level(high))], MODEL, width=1.2)
        canvas.dot(x, level(share[number]))
    apart = int(np.ceil((max(map(text_width, names)) + 8) / step))
    for number in range(0, len(names), apart):
        canvas.text(left + step * (number + 0.5), height - 8, names[number], "middle")
    return canvas.picture(f"Share of ups by {unit}{intervals}")


def _ticks(low: float, high: float) -> Array:
    """Return round numbers from at or below `low` to at or above `high`."""
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.25) if high - low <= 5 * step)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return np.arange(first, max(last, first + 1) + 1) * step


def draw_correlations(features: Mapping[str, FeatureSummary], by_chance: float) -> Picture | None:
    """Draw the largest rank correlations with the label, by size.

    Parameters
    ----------
    features : mapping of str to FeatureSummary
    by_chance : float
        Size below which 95 % of the features without information are.

    Returns
    -------
    Picture or None
        None where no feature has a correlation.
    """
    known = [(name, f.correlation) for name, f in features.items() if f.correlation is not None]
    if not known:
        return None
    rows = sorted(known, key=lambda row: -abs(row[1]))[:MOST_BARS]
    most = f", the largest {len(rows)} of {len(known)}" if len(known) > len(rows) else ""
    title = f"Rank correlation with the label{most}"
    return draw_ranked_bars(title, rows, (by_chance, f"95 % by chance: {by_chance:.3f}"))


def draw_distribution(name: str, feature: FeatureSummary) -> Picture:
    """Draw the distribution of a feature, and its mean as a line.

    Parameters
    ----------
    name : str
    feature : FeatureSummary
        With a distribution.

    Returns
    -------
    Picture
        Titled by the feature.
    """
    width, height, floor = 128.0, 62.0, 48.0
    canvas, values = Canvas(width, height), feature.distribution
    if values is None:
        raise ValueError(f"feature {name!r} has no distribution")
    step = width / len(values.shares)
    tallest = max(values.shares)
    for number, share in enumerate(values.shares):
        tall = share / tallest * (floor - 4)
        if tall:
            canvas.rectangle(number * step + 0.3, floor - tall, step - 0.6, tall)
    canvas.line([(0, floor), (width, floor)], BASELINE)
    if values.low < values.high:
        x = float(np.clip((feature.mean - values.low) / (values.high - values.low), 0, 1)) * width
        canvas.line([(x, 2), (x, floor)], DOWN)
        canvas.text(width, height - 3, f"{values.high:.2g}", "end")
    canvas.text(0, height - 3, f"{values.low:.2g}")
    return canvas.picture(name)
