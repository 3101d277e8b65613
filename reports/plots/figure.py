"""What all pictures share: colours, an empty figure, PNG bytes."""

import io
from typing import Any

INK, MODEL, BASELINE, UP, DOWN = "#22303c", "#1b6ca8", "#8a949e", "#3a8f5c", "#c0563b"
SIZE = (6.0, 4.5)


def blank(title: str, size: tuple[float, float] = SIZE) -> tuple[Any, Any]:
    """A matplotlib figure of a size in inches, and its axes."""
    # The object-oriented interface: pyplot keeps global state and wants a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, color=INK, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Any) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
