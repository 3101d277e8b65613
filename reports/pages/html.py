"""Parts of a self-contained HTML page: no network, one script of ours, every value escaped."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape

from reports.pages.svg import inline_svg
from reports.plots.figure import COLOURS, Picture

_DARK = {
    "ink": "#dfe6ec",
    "model": "#6cb2ea",
    "baseline": "#95a1ac",
    "up": "#68c48c",
    "down": "#ee8d74",
    "grid": "#2c3740",
    "violet": "#b59be0",
    "ochre": "#d8b04a",
    "teal": "#63bccd",
    "page": "#12181d",
    "panel": "#1b242b",
    "muted": "#a3afb9",
}
_LIGHT = {**COLOURS, "page": "#ffffff", "panel": "#f2f6f9", "muted": "#55626e"}


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in colours.items())


_STYLE = f"""
:root{{color-scheme:light dark;{_variables(_LIGHT)}}}
@media screen and (prefers-color-scheme:dark){{:root{{{_variables(_DARK)}}}}}
*{{box-sizing:border-box}}
body{{font:15px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0}}
main{{max-width:66rem;margin:0 auto;padding:1.5rem 1rem 3rem}}
p,ul,dl{{max-width:46rem}}p,li,dd,td,th,figcaption{{overflow-wrap:anywhere}}
h1{{font-size:1.5rem;line-height:1.25;margin:.2rem 0 1rem;overflow-wrap:anywhere}}
h2{{font-size:1.2rem;margin:2.2rem 0 .6rem;padding-bottom:.2rem;
border-bottom:1px solid var(--grid)}}
h3{{font-size:1rem;margin:1.5rem 0 .4rem}}
.lead{{font-size:1.1rem;background:var(--panel);border-left:4px solid var(--model);
padding:.7rem 1rem;max-width:none}}
.note{{color:var(--muted);font-size:13px}}
table{{border-collapse:collapse;font-size:13px;line-height:1.4}}
caption{{text-align:left;color:var(--muted);padding:.2rem 0}}
th,td{{padding:.25rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid);
min-width:3.2rem}}
th{{font-weight:600}}thead th{{overflow-wrap:normal}}tbody th{{font-weight:400;min-width:7.5rem}}
.number{{text-align:right;font-variant-numeric:tabular-nums}}td.number,td.date{{white-space:nowrap}}
.wide{{overflow-x:auto;margin:.8rem 0}}
.facts{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,11rem),1fr));gap:.7rem;
max-width:none;margin:1rem 0}}
.facts div{{background:var(--panel);padding:.5rem .8rem}}
.facts dt{{color:var(--muted);font-size:13px}}.facts dd{{margin:0;font-size:1.1rem}}
.facts small{{display:block;font-size:13px;color:var(--muted)}}
.pictures{{display:flex;flex-wrap:wrap;gap:1rem 2rem;align-items:flex-start}}
.sides{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:0 2rem}}
.sides h2{{margin-top:.6rem}}
figure{{margin:.8rem 0;min-width:0;max-width:100%;break-inside:avoid}}
figcaption{{font-weight:600;font-size:14px;max-width:46rem}}
figure svg,figure img{{display:block;max-width:100%;height:auto}}
svg text{{fill:var(--ink)}}svg *{{stroke-linejoin:round;stroke-linecap:butt}}
figure output{{display:block;min-height:1.4em;font-size:13px;color:var(--muted);
font-variant-numeric:tabular-nums}}
details{{border:1px solid var(--grid);padding:.2rem 1rem;margin:1.5rem 0}}
summary{{cursor:pointer;font-weight:600;font-size:1.1rem;padding:.4rem 0}}
pre{{background:var(--panel);padding:.7rem 1rem;white-space:pre-wrap;overflow-wrap:anywhere;
font-size:12px}}
@media print{{body{{font-size:11pt}}main{{max-width:none;padding:0}}.wide{{overflow:visible}}
figure output{{display:none}}tr{{break-inside:avoid}}h2,h3{{break-after:avoid}}
details::details-content{{content-visibility:visible;block-size:auto}}}}
"""

# Shows the values of a plot's curves at the pointer, or by the arrow keys; prints what is folded.
_SCRIPT = """
for (const svg of document.querySelectorAll('svg[data-readouts]')) {
  const all = JSON.parse(svg.dataset.readouts), view = svg.viewBox.baseVal;
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  const text = svg.parentElement.appendChild(document.createElement('output'));
  const hint = text.textContent = 'Point at a curve, or use the arrow keys, to read its values.';
  line.setAttribute('style', 'fill:none;stroke:var(--baseline);stroke-width:.8');
  svg.append(line);
  svg.tabIndex = 0;
  let place = null;
  const near = (list, x) => {
    let low = 0, high = list.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      list[middle] <= x ? low = middle : high = middle;
    }
    return x - list[low] < list[high] - x ? low : high;
  };
  const show = x => {
    place = x;
    const parts = [];
    let path = '';
    for (const {box, x: xs, at, curves} of all) {
      const i = near(xs, x);
      path += `M${xs[i]} ${box[1]}v${box[3]}`;
      if (!parts.includes(at[i])) parts.push(at[i]);
      for (const [name, , values] of curves) if (values[i]) parts.push(`${name} ${values[i]}`);
    }
    line.setAttribute('d', path);
    text.textContent = parts.join(' · ');
  };
  const hide = () => { line.setAttribute('d', ''); text.textContent = hint; place = null; };
  svg.addEventListener('pointermove', event => {
    const frame = svg.getBoundingClientRect();
    show((event.clientX - frame.left) / frame.width * view.width);
  });
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('blur', hide);
  svg.addEventListener('keydown', event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    const xs = all[0].x, from = place === null ? (step > 0 ? -1 : xs.length) : near(xs, place);
    show(xs[Math.max(0, Math.min(xs.length - 1, from + step))]);
  });
}
addEventListener('beforeprint', () => {
  for (const folded of document.querySelectorAll('details')) folded.open = true;
});
"""
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
# Escaping keeps scripts out; the policy makes the browser refuse any that slipped through.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    """content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; """
    f"""script-src 'sha256-{_HASH}'">"""
)
_NUMBER = re.compile(r"[-+<]?\s?[\d,]*\.?\d+(e[-+]?\d+)?\s?%?( to [-+]?[\d,]*\.?\d+\s?%?)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def page(title: str, body: Iterable[str]) -> str:
    """Render a page; `body` is HTML from the functions below."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{POLICY}'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{''.join(body)}</main><script>{_SCRIPT}</script></body></html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """Render the heading of a section; the title of the page has level 1."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, lead: bool = False) -> str:
    """Render a paragraph; `lead` emphasises it."""
    return f"<p{' class=lead' if lead else ''}>{escape(text)}</p>"


def note(text: str) -> str:
    """Render a paragraph in small print: how a figure or table is to be read."""
    return f"<p class=note>{escape(text)}</p>"


def folded(summary: str, body: Iterable[str]) -> str:
    """Render parts that are closed until clicked, and open in print."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(body)}</details>"


def side_by_side(left: str, right: str) -> str:
    """Render two parts beside each other where there is room, else below each other."""
    return f'<div class="sides"><div>{left}</div><div>{right}</div></div>'


def facts(items: Iterable[tuple[str, str, str]]) -> str:
    """Render key figures side by side, given as (name, value, remark); the remark may be empty."""
    parts = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}"
        f"{f'<small>{escape(remark)}</small>' if remark else ''}</dd></div>"
        for name, value, remark in items
    )
    return f'<dl class="facts">{"".join(parts)}</dl>'


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    text_columns: Sequence[str] = (),
    *,
    caption: str = "",
) -> str:
    """Render a table; columns of numbers are aligned to the right, others to the left.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns. The first holds the names of the rows.
    rows : iterable of sequence
        Cells, as many as columns: None is shown as a dash, a float with four significant digits.
    text_columns : sequence of str
        Names of columns of text, whatever their cells look like.
    caption : str
        Text above the table; also its name for screen readers.

    Returns
    -------
    str
        HTML.
    """
    lines = [[_cell_text(cell) for cell in row] for row in rows]
    classes = [
        _class_of([line[place] for line in lines], is_text=name in text_columns)
        for place, name in enumerate(columns)
    ]
    top = _cells(columns, classes, 'th scope="col"')
    body = "".join(f"<tr>{_cells(line, classes)}</tr>" for line in lines)
    name = escape(caption or f"Table by {columns[0]}")
    return (
        f'<div class="wide" role="group" tabindex="0" aria-label="{name}"><table>'
        f"{f'<caption>{escape(caption)}</caption>' if caption else ''}"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _class_of(cells: Sequence[str], *, is_text: bool) -> str:
    known = [cell for cell in cells if cell != "-"]
    if known and not is_text and all(map(_NUMBER.fullmatch, known)):
        return " class=number"
    return " class=date" if known and all(map(_DATE.fullmatch, known)) else ""


def _cells(row: Sequence[str], classes: Sequence[str], tag: str = "td") -> str:
    tags = [tag if tag != "td" or place else 'th scope="row"' for place in range(len(row))]
    return "".join(
        f"<{start}{css_class}>{escape(cell)}</{start[:2]}>"
        for cell, css_class, start in zip(row, classes, tags, strict=True)
    )


def _cell_text(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def bullets(items: Iterable[str]) -> str:
    """Render a bulleted list."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def code(text: str) -> str:
    """Render commands, line by line."""
    return f"<pre>{escape(text)}</pre>"


def pictures(plots: Iterable[tuple[str, Picture]]) -> str:
    """Render pictures side by side, given as (description for screen readers, picture)."""
    parts = (
        f"<figure><figcaption>{escape(plot.title)}</figcaption>{inline_svg(plot, text)}</figure>"
        for text, plot in plots
    )
    return f'<div class="pictures">{"".join(parts)}</div>'
