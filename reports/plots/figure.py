"""Colours, figure and PNG encoding shared by all plots."""

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MODEL, BASELINE, UP, DOWN = "#22303c", "#1b6ca8", "#8a949e", "#3a8f5c", "#c0563b"
SIZE = (6.0, 4.5)  # inches: width, height


def new_figure(title: str, size: tuple[float, float] = SIZE) -> tuple["Figure", "Axes"]:
    """Make an empty figure with one titled pair of axes.

    Parameters
    ----------
    title : str
    size : tuple of float
        Width and height in inches.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes
    """
    # The object-oriented interface: pyplot keeps global state and wants a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, color=INK, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def to_png(figure: "Figure") -> bytes:
    """Encode a figure as PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A symbol may have letters that matplotlib's font lacks; they are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def row_figure_size(lines: int) -> tuple[float, float]:
    """Return the size in inches of a figure with some labelled lines below each other."""
    return SIZE[0], max(SIZE[1] * 0.5, 1.4 + 0.28 * lines)
