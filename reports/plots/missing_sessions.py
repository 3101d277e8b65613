"""The picture of missing sessions: a strip of time for each symbol."""

from collections.abc import Mapping, Sequence

import numpy as np

from reports.plots.figure import BASELINE, new_figure, to_png
from stockpred.arrays import Array, Dates
from stockpred.bars.checks.sessions import SessionGaps

WORST = 40  # symbols with a strip of their own; more cannot be read
BINS = 120
# Share of a bin's sessions that are missing, one colour each; white: the symbol was not listed.
SHARES = (
    ("none", 0.0, "#e4ebf1"),
    ("to 5 %", 1e-9, "#f5d08c"),
    ("to 20 %", 0.05, "#e8964a"),
    ("to 50 %", 0.2, "#cb5a33"),
    ("more", 0.5, "#7d2318"),
)


def draw_missing_sessions(gaps: Mapping[str, SessionGaps]) -> bytes | None:
    """Share of sessions missing, over time, as PNG: all symbols together, then the worst.

    Returns
    -------
    bytes or None
        None where nothing is missing.
    """
    lacking = {symbol: found for symbol, found in gaps.items() if len(found.missing)}
    if not lacking:
        return None
    checked = [found for found in gaps.values() if len(found.expected)]
    edges = _edges(checked)
    worst = sorted(lacking, key=lambda symbol: (-len(lacking[symbol].missing), symbol))[:WORST]
    strips = [_share(checked, edges), *(_share([lacking[symbol]], edges) for symbol in worst)]
    title = f"Sessions missing in {len(lacking):,} of {len(checked):,} symbols"
    if len(lacking) > len(worst):
        title += f"; a strip for the worst {len(worst)}"
    return _draw(np.array(strips), ["all symbols", *worst], edges, title)


def _edges(gaps: Sequence[SessionGaps]) -> Dates:
    """Edges of equal bins over all expected sessions, shape (bins + 1,); the last is exclusive."""
    first = min(found.expected[0] for found in gaps).astype("datetime64[D]").astype(int)
    last = max(found.expected[-1] for found in gaps).astype("datetime64[D]").astype(int) + 1
    days = np.linspace(first, last, min(BINS, last - first) + 1).astype(int)
    return days.astype("datetime64[D]").astype("datetime64[s]")


def _share(gaps: Sequence[SessionGaps], edges: Dates) -> Array:
    """Share of the sessions in each bin that are missing; NaN where none is expected."""
    missing = sum(np.diff(np.searchsorted(found.missing, edges)) for found in gaps)
    expected = sum(np.diff(np.searchsorted(found.expected, edges)) for found in gaps)
    with np.errstate(invalid="ignore"):
        return np.asarray(missing / expected)


def _draw(strips: Array, names: Sequence[str], edges: Dates, title: str) -> bytes:
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    figure, axes = new_figure(title, (9.0, 1.6 + 0.2 * len(names)))
    colours = [colour for _, _, colour in SHARES]
    norm = BoundaryNorm([low for _, low, _ in SHARES] + [1.01], len(colours))
    lines = np.arange(len(names) + 1) - 0.5
    axes.pcolormesh(edges, lines, strips, cmap=ListedColormap(colours), norm=norm)
    axes.hlines(lines, edges[0], edges[-1], color="white", linewidth=1.5)
    axes.axhline(0.5, color=BASELINE, linewidth=0.8)
    axes.set_yticks(range(len(names)), [name[:20] for name in names], fontsize=8, parse_math=False)
    axes.set_ylim(lines[-1], lines[0])
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
    return to_png(figure)
