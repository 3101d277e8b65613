"""Parts of a self-contained HTML page: no script, no network, every value escaped."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#22303c;margin:2rem auto;padding:0 1rem;
max-width:62rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #dde3e8}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #eef1f4}
th:first-child,td:first-child,.text{text-align:left}
.lead{font-size:1.15rem;background:#f2f6f9;border-left:4px solid #1b6ca8;padding:.7rem 1rem}
.pictures{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}
.pictures img{max-width:100%;height:auto}
.wide{overflow-x:auto;margin:.8rem 0}
pre{background:#f6f8fa;padding:.7rem 1rem;white-space:pre-wrap;font-size:12px}
"""
# Escaping keeps scripts out; the policy makes the browser refuse any that slipped through.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    """content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">"""
)


def page(title: str, body: Iterable[str]) -> str:
    """Render a page; `body` is HTML from the functions below."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{POLICY}'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"{''.join(body)}</body></html>\n"
    )


def heading(text: str) -> str:
    """Render the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, lead: bool = False) -> str:
    """Render a paragraph; `lead` emphasises it."""
    return f"<p{' class=lead' if lead else ''}>{escape(text)}</p>"


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], text_columns: Sequence[str] = ()
) -> str:
    """Render a table.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns.
    rows : iterable of sequence
        Cells, as many as columns: None is shown as a dash, a float with four significant digits.
    text_columns : sequence of str
        Names of the columns that are aligned to the left.

    Returns
    -------
    str
        HTML.
    """
    classes = [" class=text" if name in text_columns else "" for name in columns]
    top = _cells("th", columns, classes)
    lines = (_cells("td", row, classes) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _cells(tag: str, row: Sequence[object], classes: Sequence[str]) -> str:
    pairs = zip(row, classes, strict=True)
    return "".join(
        f"<{tag}{css_class}>{escape(_cell_text(cell))}</{tag}>" for cell, css_class in pairs
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


def pictures(images: Iterable[tuple[str, bytes]]) -> str:
    """Render pictures side by side, given as (alternative text, PNG)."""
    tags = (
        f'<img alt="{escape(text)}" width="{_width(png)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        for text, png in images
    )
    return f'<div class="pictures">{"".join(tags)}</div>'


def _width(png: bytes) -> int:
    """Return the width in CSS pixels: two pictures of 6 inches at 110 dpi fit side by side."""
    return int.from_bytes(png[16:20]) * 7 // 10
