"""The data page: its pictures, and what a browser shows of few and many symbols and dates."""

import re
from pathlib import Path

import numpy as np
import pytest

from reports.plots.features import draw_label_balance, draw_prices, group_dates
from stockpred.bars.price_history import POINTS, thin_prices
from stockpred.features.summary import DateCounts
from tests.support.pages.browser import Browser
from tests.support.pages.features import features_page


def days(first: str, count: int, step: int = 1) -> np.ndarray:
    return (np.datetime64(first, "D") + np.arange(0, count * step, step)).astype("datetime64[s]")


def test_features_page_shows_a_picture_of_each_symbol_label_and_feature() -> None:
    page = features_page(symbols=3)
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert titles == [
        "S0",
        "S1",
        "S2",
        "Share of ups by month, with 95 % intervals",
        "Rank correlation with the label",
        *("x0", "x2", "x3", "x4", "x5"),
    ]
    assert "1 feature of 0 and 1 (x1): the share of 1 is from" in page
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", page)


def test_features_page_of_many_symbols_shows_those_cut_most_often() -> None:
    page = features_page(symbols=40, cut=True)
    assert page.count("Price of ") == 12
    assert "12 of 40 symbols. The symbols that are cut most often are shown" in page
    assert "20 cuts in 20 symbols: no look-back and no label reaches across one." in page


def test_features_page_counts_correlations_beyond_chance() -> None:
    assert re.search(r"[1-6] of 6 features ha(s|ve) a rank correlation", features_page(dates=2000))


def test_price_line_is_interrupted_and_marked_at_a_cut() -> None:
    dates = np.concatenate([days("2020-01-01", 300), days("2021-06-01", 300)])
    prices = np.linspace(10, 20, 600)
    history = thin_prices("A", dates, prices)
    assert (history.bars, history.cuts, len(history.dates)) == (600, 1, POINTS)
    assert (history.prices[0], history.prices[-1]) == (10, 20)
    (cut,) = draw_prices([history])
    (whole,) = draw_prices([thin_prices("A", days("2020-01-01", 600), prices)])
    assert (cut.svg.count("<path"), whole.svg.count("<path")) == (4, 2)
    assert "2 times" in whole.svg and "stroke-dasharray" not in whole.svg


@pytest.mark.parametrize(
    ("dates", "unit", "names"),
    [
        (days("2024-01-05", 1), "date", ["2024-01-05"]),
        (days("2024-01-05", 3, 40), "date", ["2024-01-05", "2024-02-14", "2024-03-25"]),
        (days("2024-01-01", 14), "week", ["2024-01-01", "2024-01-08"]),
        (days("1969-12-29", 14), "week", ["1969-12-29", "1970-01-05"]),
        (days("2024-01-01", 10, 31), "month", [f"2024-{month:02d}" for month in range(1, 11)]),
        (days("2019-01-01", 20, 91), "quarter", None),
        (days("2000-01-01", 4000), "year", [str(year) for year in range(2000, 2011)]),
        (days("1920-01-01", 30_000), "5 years", None),
    ],
)
def test_dates_are_grouped_by_the_shortest_period_that_fits(
    dates: np.ndarray, unit: str, names: list[str] | None
) -> None:
    found, found_names, period = group_dates(dates, 24)
    assert found == unit and names in (None, found_names)
    assert len(found_names) <= 24 and (period[0], period[-1]) == (0, len(found_names) - 1)


def test_label_balance_of_few_dates_names_each_and_draws_no_interval() -> None:
    counts = DateCounts(days("2024-01-05", 3, 3), np.full(3, 5.0), np.array([1.0, 2.0, 5.0]))
    picture = draw_label_balance(counts)
    assert picture.title == "Share of ups by date"
    assert re.findall(r">(2024-[-\d]+)<", picture.svg) == ["2024-01-05", "2024-01-08", "2024-01-11"]
    assert ">all: 53.3 %<" in picture.svg


LAYOUTS = {
    "one date": {"symbols": 1, "dates": 1},
    "few dates": {"symbols": 2, "dates": 6},
    "many symbols": {"symbols": 250, "dates": 60, "cut": True},
    "long names": {"symbols": 14, "prefix": "a_very_long_name_of_a_symbol_on_some_exchange_"},
    "many features": {"features": 70, "dates": 3000},
}


@pytest.mark.run
@pytest.mark.parametrize("name", ["few dates", "long names"])
def test_browser_shows_the_whole_features_page(name: str, browser: Browser, tmp_path: Path) -> None:
    check_layout(name, browser, tmp_path)


@pytest.mark.long
@pytest.mark.run
@pytest.mark.parametrize("name", sorted({*LAYOUTS} - {"few dates", "long names"}))
def test_browser_shows_the_whole_features_page_of_extremes(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    check_layout(name, browser, tmp_path)
    assert not browser.accessibility_findings()


def check_layout(name: str, browser: Browser, folder: Path) -> None:
    page = folder / "data_report.html"
    page.write_text(features_page(**LAYOUTS[name]))
    for width, dark in ((700, False), (1600, True)):
        browser.show(page, width=width, dark=dark)
        assert browser.findings(may_scroll=True) == []
        assert browser.errors == []
    browser.resize(800, media="print")
    assert browser.findings() == []
