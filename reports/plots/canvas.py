"""Vector pictures without matplotlib, whose import alone costs more than a page of small ones."""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from reports.plots.figure import BASELINE, INK, MODEL, Picture

TEXT_SIZE = 9.0
_LETTER = 0.56  # mean width of a letter, in sizes of the text


class Canvas:
    """A picture made of rectangles, lines and texts, which are escaped.

    Parameters
    ----------
    width, height : float
        In points; the origin is the top left corner.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._root = ElementTree.Element("svg", {"viewBox": f"0 0 {width:g} {height:g}"})

    def rectangle(
        self, x: float, y: float, width: float, height: float, colour: str = MODEL
    ) -> None:
        """Fill a rectangle, given by its top left corner."""
        box = {"x": x, "y": y, "width": width, "height": height}
        self._add("rect", {name: f"{value:.2f}" for name, value in box.items()}, f"fill:{colour}")

    def line(
        self,
        points: Iterable[tuple[float, float]],
        colour: str = BASELINE,
        *,
        width: float = 0.8,
        dashed: bool = False,
    ) -> None:
        """Join points by straight lines."""
        path = "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
        dashes = ";stroke-dasharray:3 2" if dashed else ""
        style = f"fill:none;stroke:{colour};stroke-width:{width:g}{dashes}"
        self._add("path", {"d": path}, style)

    def dot(self, x: float, y: float, colour: str = MODEL, radius: float = 2.2) -> None:
        """Fill a circle."""
        place = {"cx": f"{x:.2f}", "cy": f"{y:.2f}", "r": f"{radius:g}"}
        self._add("circle", place, f"fill:{colour}")

    def text(self, x: float, y: float, text: str, anchor: str = "start", colour: str = INK) -> None:
        """Write one line; `y` is its base, `anchor` one of ``start``, ``middle``, ``end``."""
        place = {"x": f"{x:.2f}", "y": f"{y:.2f}"}
        style = f"font-size:{TEXT_SIZE:g}px;text-anchor:{anchor};fill:{colour}"
        self._add("text", place, style).text = text

    def picture(self, title: str) -> Picture:
        """Return what was drawn."""
        return Picture(title, b"", ElementTree.tostring(self._root, "unicode"))

    def _add(self, name: str, attributes: dict[str, str], style: str) -> ElementTree.Element:
        return ElementTree.SubElement(self._root, name, {**attributes, "style": style})


def text_width(text: str) -> float:
    """Estimate the width of a line of text, in points."""
    return len(text) * _LETTER * TEXT_SIZE


def shorten(text: str, width: float) -> str:
    """Cut the middle out of a text that is wider than `width` points.

    Examples
    --------
    >>> shorten("a_feature_with_a_long_name", 60)
    'a_feat…name'
    """
    letters = max(3, int(width / (_LETTER * TEXT_SIZE)))
    if len(text) <= letters:
        return text
    end = (letters - 1) // 2 if letters < 8 else 4
    return f"{text[: letters - 1 - end]}…{text[-end:]}"


def draw_ranked_bars(
    title: str, rows: Sequence[tuple[str, float]], limit: tuple[float, str] | None = None
) -> Picture:
    """Draw a horizontal bar for each value.

    Parameters
    ----------
    title : str
    rows : sequence of (name, value)
        From the top; at least one. Without NaN.
    limit : (float, str), optional
        A size above 0, marked on either side of 0 where there are values, and what it is; smaller
        bars are grey.

    Returns
    -------
    Picture
    """
    line, left, right, width = 14.0, 124.0, 40.0, 430.0
    top = 16.0 if limit else 2.0
    values = [value for _, value in rows]
    size, meaning = limit or (0.0, "")
    low, high = min(0.0, *values), max(0.0, *values, size * 1.05)
    if low < 0:
        low = min(low, -size * 1.05)
    scale = (width - left - right) / ((high - low) or 1.0)
    canvas = Canvas(width, top + line * len(rows) + 4)
    decimals = 3 if high - low < 1 else 2

    def across(value: float) -> float:
        return left + (value - low) * scale

    for number, (name, value) in enumerate(rows):
        y = top + line * number
        colour = MODEL if abs(value) >= size else BASELINE
        canvas.rectangle(across(min(value, 0.0)), y + 2, abs(value) * scale, line - 4, colour)
        canvas.text(left - 6, y + line - 4, shorten(name, left - 10), "end")
        canvas.text(width, y + line - 4, f"{value:.{decimals}f}", "end")
    canvas.line([(across(0.0), top), (across(0.0), canvas.height - 2)], BASELINE)
    if limit:
        for side in (-size, size) if low < 0 else (size,):
            canvas.line([(across(side), top - 2), (across(side), canvas.height - 2)], dashed=True)
        fits = across(size) + text_width(meaning) < width
        x = across(size) if fits else width
        canvas.text(x, top - 6, meaning, "start" if fits else "end")
    return canvas.picture(title)
