"""The monitor's page, also as a real browser shows it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.data.live_records import DAYS, live_forecasts, record_losing_skill, scored_rows
from tests.support.pages.browser import Browser
from tests.support.pages.monitoring import monitoring_page


@pytest.fixture(scope="module")
def page() -> str:
    rows = record_losing_skill(1, 100)
    return monitoring_page(pd.concat([scored_rows(rows), scored_rows(rows, "2")]))


def test_monitoring_page_is_self_contained_and_begins_with_the_alert(page: str) -> None:
    body = page[page.index("<body>") :]
    assert re.match(r"<body><main><h1>[^<]*</h1><p class=lead>Alert: the forecasts are worse", body)
    assert not re.search(r"https?://|src=|<link|@import|url\((?!#)", body[: body.index("<script>")])
    assert "&lt;script&gt;" in page and len(page) < 2 << 20
    assert page.count("<svg ") == 5
    assert "the first to pass" in page and "No forecasts to compare." in page
    newest = re.findall(r'<tr><th scope="row">(S\d+)</th><td>([-\d]+)</td>', page)
    assert len(newest) == 20 and len({date for _, date in newest}) == 1


@pytest.mark.parametrize("outcomes", [0, 1, 15])
def test_monitoring_page_of_the_first_days_has_no_nan(outcomes: int) -> None:
    rows = scored_rows(live_forecasts(0, 15))
    is_open = rows["date"] >= np.append(np.unique(rows["date"]), DAYS[-1])[outcomes]
    rows.loc[is_open, ["label", "forward_return"]] = np.nan
    text = monitoring_page(rows)
    text = text[: text.index("<script>")]
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)
    assert ("No forecast has an outcome yet." in text) == (outcomes == 0)
    assert text.count("<svg ") == (5 if outcomes else 0)


@pytest.mark.run
def test_browser_shows_the_monitoring_page(page: str, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "monitoring.html"
    file.write_text(page)
    browser.show(file)
    assert browser.evaluate("document.querySelectorAll('svg').length") == 5
    assert not browser.errors
