"""Plot of missing sessions: a strip of time for each symbol."""

from collections.abc import Mapping, Sequence

import numpy as np

from reports.plots.figure import BASELINE, GRID, Picture, format_dates, new_figure, to_picture
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
    from matplotlib.dates import date2num
    from matplotlib.patches import Patch

    figure, axes = new_figure(title, (9.0, 1.6 + 0.2 * len(names)))
    axes.grid(visible=False)
    axes.xaxis_date()
    days = date2num(edges)
    colours = [colour for _, _, colour in SHARES]
    for number, strip in enumerate(strips):
        firsts, ends, levels = _runs(strip)
        spans = list(zip(days[firsts], days[ends] - days[firsts], strict=True))
        axes.broken_barh(
            spans, (number - 0.44, 0.88), facecolors=[colours[level] for level in levels]
        )
    format_dates(axes, edges)
    axes.set_xlim(days[0], days[-1])
    axes.axhline(0.5, color=BASELINE, linewidth=0.8)
    axes.set_yticks(range(len(names)), [name[:20] for name in names], fontsize=8, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    handles = [Patch(color=colour, label=name) for name, _, colour in SHARES]
    figure.legend(
        handles=[Patch(color="none", label="share of the sessions missing:"), *handles],
        loc="outside lower left",
        ncols=len(handles) + 1,
        frameon=False,
        fontsize=8,
    )
    return to_picture(figure, for_file=False)
