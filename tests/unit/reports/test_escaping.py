"""Pages made of hostile text: whatever a symbol, a reason or a message holds, it stays text."""

import ast
import html.parser
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.chain.summary import Description, note
from pipeline.step import FinishedStep
from pipeline.tags import TAG_KEY_FIGURE
from reports.pages.evaluation import render_evaluation_page
from reports.pages.features import render_features_page
from reports.pages.html import POLICY
from reports.pages.monitoring import render_monitoring_page
from reports.pages.validation import render_validation_page
from stockpred.bars.checks.summary import summarise
from stockpred.bars.checks.validate import validate
from stockpred.bars.price_history import PriceSummary, thin_prices
from stockpred.features.base import Feature
from stockpred.features.summary import TableSummary
from tests.support.data.bars import make_bars
from tests.support.data.feature_tables import add_rows
from tests.support.data.live_records import record_losing_skill, scored_rows
from tests.support.pages.evaluation import evaluation_inputs, walked
from tests.support.pages.monitoring import monitoring_inputs
from tests.support.pages.validation import SESSIONS, picture_of
from tests.support.paths import ROOT

HOSTILE = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "' onload='document.title=\"pwned\"' x='",
    "</title><svg onload=document.title='pwned'>",
    "</style></pre></table><iframe srcdoc=\"<script>top.document.title='pwned'</script>\">",
    "<a href=\"javascript:document.title='pwned'\">x</a>",
    "<!-- --><body onpageshow=document.title='pwned'>",
    "$\\frac{$ & &lt;b&gt; %s {0} {{x}}",
)
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "h1",
    "h2",
    "h3",
    "p",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "div",
    "ul",
    "li",
    "pre",
    "dl",
    "dt",
    "dd",
    "small",
    "details",
    "summary",
    "figure",
    "figcaption",
    "script",
    "svg",
    "defs",
    "g",
    "path",
    "rect",
    "circle",
    "use",
    "text",
    "clippath",
}
ATTRIBUTES = {
    "lang",
    "charset",
    "http-equiv",
    "name",
    "content",
    "class",
    "scope",
    "role",
    "tabindex",
    "aria-label",
    "data-readouts",
    "id",
    "viewbox",
    "width",
    "height",
    "d",
    "style",
    "clip-path",
    "href",
    "x",
    "y",
    "transform",
    "rx",
    "cx",
    "cy",
    "r",
}


def evil(content: Any) -> Any:
    """The same with each text, and each name that is no field of ours, made hostile."""
    if isinstance(content, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}.*", content):
        return content + "".join(HOSTILE)
    if isinstance(content, Mapping):
        return {key: evil(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, (str, bytes)):
        return [evil(item) for item in content]
    return content


def validation_page() -> str:
    validations = {}
    for number, symbol in enumerate(HOSTILE):
        bars = make_bars(500, symbol, seed=number).drop(index=range(100, 102 + number))
        bars.loc[20, "close"] = float("nan")
        validations[symbol] = validate(bars, calendar=symbol, sessions=SESSIONS)
    content = summarise(validations)
    picture = picture_of(validations)
    assert picture is not None
    return render_validation_page(evil(content), picture)


def features_page() -> str:
    rows = pd.concat(
        [make_bars(30, symbol).assign(label=[0.0, 1.0] * 15, x=range(30)) for symbol in HOSTILE]
    )
    name = "".join(HOSTILE)
    summary, prices = TableSummary([name], np.unique(rows["date"])), PriceSummary()
    add_rows(summary, rows[["symbol", "date", "label", "x"]].rename(columns={"x": name}))
    for symbol, bars in rows.groupby("symbol"):
        prices.add(thin_prices(str(symbol), bars["date"].to_numpy(), bars["close"].to_numpy()))
    return render_features_page(summary, prices, [Feature(name, 1, name)], name)


def evaluation_page() -> str:
    rows = walked(0.5, 200)
    names = dict(zip(rows["symbol"].unique(), HOSTILE, strict=False))
    content, images = evaluation_inputs(rows.assign(symbol=rows["symbol"].map(names).astype("str")))
    assert set(HOSTILE[:5]) == set(content["by_symbol"])
    hostile = evil(content)
    hostile["ic"]["kind"] = content["ic"]["kind"]  # looked up, not shown
    return render_evaluation_page(hostile, images, "".join(HOSTILE), "".join(HOSTILE))


def monitoring_page() -> str:
    rows = record_losing_skill(1, 100)
    content, images = monitoring_inputs(pd.concat([scored_rows(rows), scored_rows(rows, "2")]))
    content["data"]["stopped"] = list(HOSTILE)
    return render_monitoring_page(evil(content), images)


PAGES: dict[str, Callable[[], str]] = {
    "validation": validation_page,
    "features": features_page,
    "evaluation": evaluation_page,
    "monitoring": monitoring_page,
}


class Elements(html.parser.HTMLParser):
    """Every element and attribute of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.scripts += tag == "script"
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.tags.add("a comment")


@pytest.mark.parametrize("name", PAGES)
def test_page_with_hostile_text_has_no_foreign_element_or_attribute(name: str) -> None:
    elements = Elements(PAGES[name]())
    assert elements.tags <= TAGS and elements.attributes <= ATTRIBUTES
    assert elements.scripts == 1  # that of `html.page`
    assert all(text in elements.text for text in HOSTILE)


@pytest.mark.long
@pytest.mark.run
@pytest.mark.parametrize("name", PAGES)
def test_browser_runs_no_hostile_text(name: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine: apt-get install chromium, and run it again")
    page = PAGES[name]()
    assert POLICY in page
    # Without the policy, too: what is escaped needs none. The last one shows what would be seen.
    unguarded = page.replace(POLICY, "")
    open_door = unguarded.replace("<body>", f"<body>{HOSTILE[0]}")
    for number, (text, runs) in enumerate(((page, False), (unguarded, False), (open_door, True))):
        file = tmp_path / f"{number}.html"
        file.write_text(text)
        done = subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--virtual-time-budget=3000",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--dump-dom",
                file.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
        title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
        assert title is not None and (title[1] == "pwned") == runs


def test_only_modules_that_escape_write_markup() -> None:
    """What writes markup escapes each value itself; the other modules hand it plain text."""
    for path in sorted((ROOT / "reports").rglob("*.py")):
        texts = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        marked = [text for text in texts if re.search(r"</?[a-zA-Z!]", text)]
        assert bool(marked) == (path.name in ("html.py", "svg.py")), (path.name, marked)


def test_note_of_a_run_with_hostile_text_has_no_markup() -> None:
    figure = "".join(HOSTILE) + "\n| a | row |"
    step = FinishedStep("train", "r", "executed", 1.0, {}, {TAG_KEY_FIGURE: figure})
    text = note([step], "1", Description("main"))
    assert len(text.splitlines()) == 3 and "<" not in text and "\\| a \\| row \\|" in text
