"""Plot of missing sessions: a strip of time for each symbol."""

from collections.abc import Mapping, Sequence

import numpy as np

from reports.plots.canvas import Canvas, shorten, text_width
from reports.plots.figure import GRID, Picture
from stockpred.arrays import Array, Dates, Rows
from stockpred.bars.checks.sessions import SessionGaps

MOST_SYMBOLS = 40  # with a strip of their own; more would be unreadable
BINS = 120
# Name, lower bound and colour of the share of missing sessions; blank: no session expected.
SHARES = (
    ("none", 0.0, GRID),
    ("to 5 %", 1e-9, "#f5d08c"),
    ("to 20 %", 0.05, "#e8964a"),
    ("to 50 %", 0.2, "#cb5a33"),
    ("more", 0.5, "#9c2f1d"),
)


def draw_missing_sessions(gaps: Mapping[str, SessionGaps]) -> Picture | None:
    """Draw the share of missing sessions over time: all symbols together, then the worst.

    Parameters
    ----------
    gaps : mapping of str to SessionGaps
        Symbol to its expected and missing sessions.

    Returns
    -------
    Picture or None
        None where no session is missing.
    """
    lacking = {symbol: part for symbol, part in gaps.items() if len(part.missing)}
    if not lacking:
        return None
    checked = [part for part in gaps.values() if len(part.expected)]
    edges = _edges(checked)
    worst = sorted(lacking, key=lambda symbol: (-len(lacking[symbol].missing), symbol))[
        :MOST_SYMBOLS
    ]
    strips = [_share(checked, edges), *(_share([lacking[symbol]], edges) for symbol in worst)]
    title = f"Sessions missing in {len(lacking):,} of {len(checked):,} symbols"
    if len(lacking) > len(worst):
        title += f"; a strip for the worst {len(worst)}"
    return _draw(np.array(strips), ["all symbols", *worst], edges, title)


def _edges(gaps: Sequence[SessionGaps]) -> Dates:
    """Edges of equal bins over all expected sessions, shape (bins + 1,), the last exclusive."""
    first = min(part.expected[0] for part in gaps).astype("datetime64[D]").astype(int)
    last = max(part.expected[-1] for part in gaps).astype("datetime64[D]").astype(int) + 1
    days = np.linspace(first, last, min(BINS, last - first) + 1).astype(int)
    return days.astype("datetime64[D]").astype("datetime64[s]")


def _share(gaps: Sequence[SessionGaps], edges: Dates) -> Array:
    """Share of missing sessions in each bin, shape (bins,); NaN where none is expected."""
    missing = sum(np.diff(np.searchsorted(part.missing, edges)) for part in gaps)
    expected = sum(np.diff(np.searchsorted(part.expected, edges)) for part in gaps)
    with np.errstate(invalid="ignore"):
        return np.asarray(missing / expected)


def _runs(strip: Array) -> tuple[Rows, Rows, Rows]:
    """Merge neighbouring bins of one level: first bin, end (excluded) and level of each run.

    Bins without an expected session (NaN) are in no run.
    """
    lows = [low for _, low, _ in SHARES]
    level = np.where(np.isnan(strip), -1, np.digitize(strip, lows) - 1)
    firsts = np.flatnonzero(np.diff(level, prepend=-2))
    ends = np.append(firsts[1:], len(level))
    known = level[firsts] >= 0
    return firsts[known], ends[known], level[firsts][known]


def _draw(strips: Array, names: Sequence[str], edges: Dates, title: str) -> Picture:
    line, left, width, top = 12.0, 124.0, 640.0, 18.0
    floor = top + line * len(names) + 4
    canvas = Canvas(width, floor + 14)
    x = left + (edges - edges[0]) / (edges[-1] - edges[0]) * (width - left)
    _draw_legend(canvas)
    for number, (name, strip) in enumerate(zip(names, strips, strict=True)):
        y = top + line * number + (4 if number else 0)  # apart from all symbols together
        canvas.text(left - 6, y + line - 3, shorten(name, left - 24), "end")
        for first, end, level in zip(*(part.tolist() for part in _runs(strip)), strict=True):
            canvas.rectangle(x[first], y + 1, x[end] - x[first], line - 2, SHARES[level][2])
    free = left
    for place, name in _date_ticks(edges):
        at = left + (place - edges[0]) / (edges[-1] - edges[0]) * (width - left)
        if free <= at <= width - text_width(name):
            canvas.line([(at, floor), (at, floor + 3)])
            canvas.text(at, floor + 12, name)
            free = at + text_width(name) + 8
    return canvas.picture(title)


def _draw_legend(canvas: Canvas) -> None:
    text = "share of the sessions missing:"
    canvas.text(0, 9, text)
    x = text_width(text) + 4
    for name, _, colour in SHARES:
        canvas.rectangle(x, 2, 9, 8, colour)
        canvas.text(x + 12, 9, name)
        x += 12 + text_width(name) + 10


def _date_ticks(edges: Dates) -> list[tuple[np.datetime64, str]]:
    """Return first days of years, or of months where there are few years, and their names."""
    unit = "Y" if (edges[-1] - edges[0]) > np.timedelta64(3 * 365, "D") else "M"
    firsts = np.unique(edges.astype(f"datetime64[{unit}]"))
    ticks = [(first.astype("datetime64[s]"), str(first)) for first in firsts]
    return [(date, name) for date, name in ticks if date >= edges[0]]
