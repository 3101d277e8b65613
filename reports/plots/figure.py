"""Colours, figures, and their encoding as PNG for a file and as SVG for a page."""

import io
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike

    from stockpred.arrays import Array

# Pages replace these colours by variables of their style sheet, for dark mode.
INK, MODEL, BASELINE, UP, DOWN = "#22303c", "#1b6ca8", "#77828d", "#2f7d4f", "#b94a30"
GRID, VIOLET, OCHRE, TEAL = "#e3e8ec", "#7b5ba6", "#8f6a10", "#2b7f8f"
COLOURS = {
    "ink": INK,
    "model": MODEL,
    "baseline": BASELINE,
    "up": UP,
    "down": DOWN,
    "grid": GRID,
    "violet": VIOLET,
    "ochre": OCHRE,
    "teal": TEAL,
}
SIZE = (5.4, 3.7)  # inches: width, height; two fit beside each other on a page
MOST_POINTS = 1000  # of a curve that can be read off by hovering
MOST_LETTERS = 24  # of a name beside a plot
FEW_DATES = 7  # or fewer are the ticks themselves, as far as there is room


@dataclass(frozen=True)
class Readout:
    """Points of the curves of one pair of axes, to be read off by hovering.

    Attributes
    ----------
    box : sequence of float
        Left, top, width and height of the axes in the SVG.
    x : sequence of float
        Horizontal positions in the SVG, ascending.
    at : sequence of str
        The same as text: a date or a number.
    curves : sequence of (name, colour, values as text)
        As many values as positions; empty where a curve has none.
    """

    box: Sequence[float]
    x: Sequence[float]
    at: Sequence[str]
    curves: Sequence[tuple[str, str, Sequence[str]]]


@dataclass(frozen=True)
class Picture:
    """A drawn plot.

    Attributes
    ----------
    title : str
    png : bytes
        With its title, for a file; empty where there is none.
    svg : str
        Without its title, for a page, which shows that as text; empty where no page shows it.
    title_height : int
        Of the space left for it, in points.
    readouts : sequence of Readout
    """

    title: str
    png: bytes
    svg: str
    title_height: int = 0
    readouts: Sequence[Readout] = field(default_factory=list)


def new_figure(
    title: str, size: tuple[float, float] = SIZE, panels: Sequence[float] = (1,)
) -> tuple["Figure", "Axes"]:
    """Make an empty figure with one or more pairs of axes below each other.

    Parameters
    ----------
    title : str
    size : tuple of float
        Width and height in inches.
    panels : sequence of float
        Relative heights of the axes; several share their horizontal axis.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes
        The first; all are ``figure.axes``.
    """
    # The object-oriented interface: pyplot keeps global state and wants a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    grid = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": panels}
    )
    for axes in grid[:, 0]:
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(BASELINE)
        axes.tick_params(color=BASELINE, labelsize=9, left=False)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    figure.suptitle(
        textwrap.fill(title, round(13 * size[0])), color=INK, x=0.01, ha="left", fontsize=11
    )
    return figure, grid[0, 0]


def format_dates(axes: "Axes", dates: "ArrayLike") -> None:
    """Label an axis of dates: few of them by themselves, otherwise round dates, never hours.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    dates : array_like of datetime64
        Those that are drawn.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    distinct = np.unique(np.asarray(dates, "datetime64[D]"))
    if len(distinct) <= FEW_DATES:
        span = max(np.ptp(distinct.astype(int)), 1) if len(distinct) else 1
        ticks = list(distinct[:1])
        for date in distinct[1:]:
            if (date - ticks[-1]).astype(int) >= 0.3 * span:  # else their texts overlap
                ticks.append(date)
        axes.set_xticks(ticks, [str(date) for date in ticks])
        axes.margins(x=0.25)
        return
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def to_picture(figure: "Figure", *, for_file: bool = True, for_page: bool = True) -> Picture:
    """Encode a figure as PNG and SVG; equal figures give equal bytes.

    Curves with a label and at least three points can be read off by hovering.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Of `new_figure`. Its texts are shown as they are, without mathematics.
    for_file, for_page : bool
        Whether its PNG, its SVG is wanted: each costs a tenth of a second.

    Returns
    -------
    Picture
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a symbol may hold a dollar
    title, heading = figure.get_suptitle(), figure.texts[0]
    png, svg = io.BytesIO(), io.StringIO()
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        # A symbol may have letters that matplotlib's font lacks; they are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # once for both
        if for_file:
            figure.savefig(png, format="png", metadata={"Software": None})
        height = (figure.bbox.height - heading.get_window_extent().y0) * 72 / figure.dpi
        heading.set_visible(False)
        if for_page:
            metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(svg, format="svg", transparent=True, metadata=metadata)
    readouts = _readouts(figure) if for_page else []
    return Picture(" ".join(title.split()), png.getvalue(), svg.getvalue(), round(height), readouts)


def _readouts(figure: "Figure") -> list[Readout]:
    from matplotlib.colors import to_hex

    width, height = 72 * figure.get_size_inches()
    readouts = []
    for axes in figure.axes:
        curves = [
            (str(line.get_label()), to_hex(line.get_color()), _points(line)) for line in axes.lines
        ]
        curves = [curve for curve in curves if curve[0][0] != "_" and len(curve[2]) > 2]
        if not curves:
            continue
        box = axes.get_position()
        left, wide = box.x0 * width, box.width * width
        x = np.unique(np.concatenate([list(points) for _, _, points in curves]))
        x = x[:: -(-len(x) // MOST_POINTS)]
        low, high = axes.get_xlim()
        readouts.append(
            Readout(
                (left, (1 - box.y1) * height, wide, box.height * height),
                np.round(left + (x - low) / (high - low) * wide, 1).tolist(),
                _as_text(axes, x),
                [(name, colour, _values(points, x, axes)) for name, colour, points in curves],
            )
        )
    return readouts


def _points(line: "Line2D") -> dict[float, float]:
    """Map the positions of a line to its values."""
    x, y = (np.asarray(line.get_data(orig=False)[place], np.float64) for place in (0, 1))
    return dict(zip(x.tolist(), y.tolist(), strict=True))


def _as_text(axes: "Axes", x: "Array") -> list[str]:
    from matplotlib.dates import num2date

    if any(np.asarray(line.get_xdata(orig=True)).dtype.kind == "M" for line in axes.lines):
        return [str(date.date()) for date in num2date(x)]
    return [f"{number:.4g}" for number in x]


def _values(points: Mapping[float, float], x: "Array", axes: "Axes") -> list[str]:
    """Format values to a three-hundredth of the axis; empty where a curve has none."""
    decimals = max(0, math.ceil(2.5 - math.log10(np.ptp(axes.get_ylim()))))
    return [f"{points[at]:.{decimals}f}" if at in points else "" for at in x.tolist()]


def row_figure_size(lines: int) -> tuple[float, float]:
    """Return the size in inches of a figure with some labelled lines below each other."""
    return SIZE[0], max(SIZE[1] * 0.5, 1.4 + 0.28 * lines)
