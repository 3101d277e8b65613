"""The monitor's page, also as a real browser shows it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.pages.monitoring import render_monitoring_page
from reports.plots.figure import Picture
from tests.support.data.live_records import DAYS, live_forecasts, record_losing_skill, scored_rows
from tests.support.pages.browser import Browser
from tests.support.pages.monitoring import drifted, monitoring_inputs, monitoring_page

Inputs = tuple[dict[str, Any], dict[str, Picture]]


@pytest.fixture(scope="module")
def page() -> str:
    rows = record_losing_skill(1, 100)
    return monitoring_page(pd.concat([scored_rows(rows), scored_rows(rows, "2")]))


def test_monitoring_page_is_self_contained_and_begins_with_the_alert(page: str) -> None:
    body = page[page.index("<body>") :]
    assert re.match(r"<body><main><h1>[^<]*</h1><p class=lead>Alert: the forecasts are worse", body)
    assert not re.search(r"https?://|src=|<link|@import|url\((?!#)", body[: body.index("<script>")])
    assert "&lt;script&gt;" in page and len(page) < 2 << 20
    assert page.count("<svg ") == 6
    assert "the first to pass" in page and "No forecasts to compare." in page
    newest = re.findall(
        r'<tr><th scope="row">(S\d+)</th><td class=date>([-\d]+)</td>',
        page[: page.index("<h2>Outcomes")],
    )
    assert "20 symbols, 1 without it" in page and '<th scope="row">S7</th>' in page
    assert len(newest) == 20 and len({date for _, date in newest}) == 1


def test_monitoring_page_without_a_champion_names_none(page: str) -> None:
    assert "<h2>Champion and challengers" in page and "lead over version 1, nats" in page
    content, images = monitoring_inputs(scored_rows(live_forecasts(0, 15)))
    content["champion"] = {"version": "1", "alias": "candidate", "sentence": "Version 1."}
    content["moves"], images = [], {}
    text = render_monitoring_page(content, images)
    assert "<h2>Versions" in text and "champion" not in text.lower()
    assert "No other recipe" in text
    assert "`" not in text[: text.index("<script>")], "Markdown on a page of HTML"


@pytest.mark.parametrize("outcomes", [0, 1, 15])
def test_monitoring_page_of_the_first_days_has_no_nan(outcomes: int) -> None:
    rows = scored_rows(live_forecasts(0, 15))
    is_open = rows["date"] >= np.append(np.unique(rows["date"]), DAYS[-1])[outcomes]
    rows.loc[is_open, ["label", "forward_return"]] = np.nan
    text = monitoring_page(rows)
    text = text[: text.index("<script>")]
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)
    assert ("No forecast has an outcome yet." in text) == (outcomes == 0)
    assert text.count("<svg ") == (6 if outcomes else 1)


@pytest.mark.run
def test_browser_shows_the_monitoring_page(page: str, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "monitoring.html"
    file.write_text(page)
    browser.show(file)
    assert browser.evaluate("document.querySelectorAll('svg').length") == 6
    assert not browser.errors


def record_of(dates: int, symbols: int = 5, prefix: str = "") -> pd.DataFrame:
    """Forecasts of some dates with outcomes, and of one more without."""
    rows = scored_rows(live_forecasts(0, dates + 1, symbols=symbols))
    rows.loc[rows["date"] == rows["date"].max(), ["label", "forward_return"]] = np.nan
    return rows.assign(symbol=prefix + rows["symbol"])


@pytest.fixture(scope="module")
def few() -> Inputs:
    return monitoring_inputs(record_of(6))


def test_monitoring_page_of_few_dates_is_by_date_with_ticks_at_sessions(few: Inputs) -> None:
    sessions = {str(date) for date in DAYS.astype("datetime64[D]")}
    text = render_monitoring_page(*few)
    assert "Accuracy by date" in text and "by week" not in text
    ticks = re.findall(r"<text[^>]*>(\d{4}-\d\d-\d\d)</text>", text)
    assert len(ticks) >= 5 * 3 and set(ticks) <= sessions
    assert not re.search(r"<text[^>]*>\d\d:\d\d", text)


def test_monitoring_page_of_many_dates_is_by_week(page: str) -> None:
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert titles[0] == "Lead over the prior by week" and "Accuracy by week" in titles
    axis = page[page.index("<figcaption>Lead") : page.index("<figcaption>Cumulative")]
    assert {"2015", "Mar", "Nov"} <= set(re.findall(r"<text[^>]*>(\w+)</text>", axis))


def test_monitoring_page_has_one_unit_in_a_table(few: Inputs) -> None:
    text = render_monitoring_page(*few)
    row = re.search(r'<tr><th scope="row">S0</th>(.*?)</tr>', text)
    assert row is not None
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[1])
    assert cells[0] == "2015-01-09" and cells[3] == "2 of 6"
    assert all(re.fullmatch(r"[\d.]+ %( to [\d.]+ %)?", cells[place]) for place in (1, 4, 5))
    accuracy = re.search(r'<tr><th scope="row">accuracy, %</th><td[^>]*>(.*?)</td>', text)
    assert accuracy is not None and float(accuracy[1]) > 1
    # A short record is all recent: no second pair of columns.
    assert "whole record" in text and "last 6 dates" not in text


def test_monitoring_page_draws_drift_as_sorted_bars_with_the_limit(few: Inputs) -> None:
    names = [f"f{number}" for number in range(40)]
    content, images = few
    drift = {"forecasts": [], "features": drifted(names)}
    text = render_monitoring_page({**content, "drift": drift}, images)
    picture = re.search(r"<figcaption>Drift of the features.*?</svg>", text)[0]
    assert "the largest 15 of 40" in picture
    assert re.findall(r">(f\d+)<", picture) == names[:15]
    assert ">notable: 0.1<" in picture and picture.count("<rect") == 15
    assert picture.count("fill:var(--model)") == 5


LAYOUTS: dict[str, Callable[[], str]] = {
    "one date": lambda: monitoring_page(record_of(1, symbols=1)),
    "few dates": lambda: monitoring_page(record_of(6)),
    "two months": lambda: monitoring_page(record_of(45)),
    "long names": lambda: monitoring_page(
        record_of(30, prefix="a_very_long_name_of_a_symbol_on_some_exchange_"),
        registered_model="a_very_long_name_of_a_registered_model_" * 4,
        drift={
            "forecasts": drifted(["probability_up"]),
            "features": drifted([f"a_very_long_name_of_a_feature_{n}" for n in range(40)]),
        },
    ),
    "many symbols": lambda: monitoring_page(record_of(500, symbols=250)),
}


@pytest.mark.run
@pytest.mark.parametrize("name", ["few dates", "long names"])
def test_browser_shows_the_whole_monitoring_page(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    check_layout(name, browser, tmp_path)


@pytest.mark.long
@pytest.mark.run
@pytest.mark.parametrize("name", sorted({*LAYOUTS} - {"few dates", "long names"}))
def test_browser_shows_the_whole_monitoring_page_of_extremes(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    check_layout(name, browser, tmp_path)
    assert not browser.accessibility_findings()


def check_layout(name: str, browser: Browser, folder: Path) -> None:
    file = folder / "monitoring.html"
    file.write_text(LAYOUTS[name]())
    for width, dark in ((700, False), (1600, True)):
        browser.show(file, width=width, dark=dark)
        assert browser.findings(may_scroll=True) == []
        assert browser.errors == []
    browser.resize(800, media="print")
    assert browser.findings() == []
