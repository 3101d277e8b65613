"""matplotlib's SVG as part of a page: the page's colours and font, no foreign identifiers."""

import json
import re
from html import escape

from reports.plots.figure import COLOURS, Picture

_TAG = re.compile(r"<[^>]*>")
_PROLOGUE = re.compile(r"<svg[^>]*>\s*(?:<defs>\s*<style.*?</style>\s*</defs>)?", re.DOTALL)
_CHANGES = (
    (re.compile(r' id="(?![a-z][0-9a-f]{10}")[^"]*"'), ""),  # nothing refers to these
    (re.compile(r"font-family: [^;\"]*;? ?"), ""),
    (re.compile(r' transform="rotate\(-?0 [^"]*"'), ""),
    (re.compile(r"xlink:href"), "href"),
    (re.compile(r"(\.\d\d)\d+"), r"\1"),
    (re.compile(r"\s+"), " "),
)
_VARIABLES = {colour: f"var(--{name})" for name, colour in COLOURS.items()}
_COLOUR = re.compile("|".join(COLOURS.values()))


def inline_svg(picture: Picture, description: str) -> str:
    """Render a picture as an element of a page.

    Parameters
    ----------
    picture : Picture
        Its texts are escaped by matplotlib.
    description : str
        For people who do not see it.

    Returns
    -------
    str
        An ``svg`` element; what can be read off by hovering is in ``data-readouts``.
    """
    head = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture.svg)
    if head is None:
        raise ValueError("expected an SVG of matplotlib")
    width, height = float(head[1]), float(head[2])
    top = picture.title_height
    body = _PROLOGUE.split(picture.svg, maxsplit=1)[1]
    readouts = [
        {"box": r.box, "x": r.x, "at": r.at, "curves": [_curve(*curve) for curve in r.curves]}
        for r in picture.readouts
    ]
    data = f' data-readouts="{escape(json.dumps(readouts, separators=(",", ":")))}"'
    return (
        f'<svg viewBox="0 {top:g} {width:g} {height - top:g}" width="{width * 1.2:.0f}" '
        f'role="img" aria-label="{escape(description)}"{data if readouts else ""}>'
        f"{_TAG.sub(_page_tag, body)}"
    )


def _curve(name: str, colour: str, values: object) -> tuple[str, str, object]:
    return name, _VARIABLES.get(colour, colour), values


def _page_tag(tag: re.Match[str]) -> str:
    text = tag[0]
    for pattern, replacement in _CHANGES:
        text = pattern.sub(replacement, text)
    return _COLOUR.sub(lambda colour: _VARIABLES[colour[0]], text)
