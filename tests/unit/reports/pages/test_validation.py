"""The validation's page and its picture."""

import re
from pathlib import Path

import numpy as np
import pytest

from reports.pages.validation import describe_gaps, render_validation_page, validation_summary
from reports.plots.missing_sessions import _edges, _runs, _share
from stockpred.bars.checks.sessions import SessionGaps
from stockpred.bars.checks.summary import summarise
from stockpred.bars.checks.validate import validate
from tests.support.data.bars import make_bars
from tests.support.pages.browser import Browser
from tests.support.pages.validation import SESSIONS, judged, picture_of


def test_validation_summary_counts_bars_and_removed_ones() -> None:
    clean = summarise({"A": validate(make_bars(120, "A"))})
    assert validation_summary(clean) == (
        "120 of 120 bars of 1 symbol may reach a model; no stretches and no whole symbols were "
        "taken out. There is no warning."
    )
    assert validation_summary(summarise(judged(1))) == (
        "498 of 499 bars of 1 symbol may reach a model; 1 stretch and no whole symbols were "
        "taken out. Look at the warnings of missing."
    )


def test_validation_page_escapes_values_and_fetches_nothing() -> None:
    validations = judged(3, "<script>$x")
    text = render_validation_page(summarise(validations), picture_of(validations))
    assert text.count("<script>") == 1 and "S1&lt;script&gt;$x" in text
    body = text[text.index("<body>") : text.index("<script>")]
    assert not re.search(r"https?://|src=|url\((?!#)", body) and body.count("<svg ") == 1


def test_validation_page_without_a_gap_has_no_plot() -> None:
    validations = {"A": validate(make_bars(500), calendar="XNYS", sessions=SESSIONS)}
    assert picture_of(validations) is None
    assert "Every session of the known calendars has its bar" in render_validation_page(
        summarise(validations), None
    )
    unknown = {"A": validate(make_bars(500), calendar="XBEL")}
    text = render_validation_page(summarise(unknown), None)
    assert "No symbol has a calendar to compare with." in text
    assert "Not checked, since unknown: XBEL." in text


def test_validation_page_counts_the_rows_that_long_gaps_cost() -> None:
    holed = make_bars(400).drop(index=range(200, 260)).reset_index(drop=True)
    content = summarise({"A": validate(holed, lookback=61), "B": validate(make_bars(400, "B"))})
    sentence = (
        "1 gap of more than 14 days in 1 symbol cuts the history: 60 rows have no whole look-back "
        "after one, and no label crosses one"
    )
    assert describe_gaps(content) == sentence
    assert f"{sentence}." in render_validation_page(content, None)
    assert describe_gaps(summarise({"B": validate(make_bars(400, "B"))})) is None


def test_validation_page_lists_symbols_and_years_above_a_limit() -> None:
    stale = make_bars(500, "B", seed=1)
    stale["open"] = stale["close"].shift(fill_value=50.0)
    stale["high"] = stale[["open", "high"]].max(axis=1)
    stale["low"] = stale[["open", "low"]].min(axis=1)
    content = summarise({"A": validate(make_bars(500, "A")), "B": validate(stale)})
    assert validation_summary(content).endswith("Prices of 1 symbol could hardly be traded at.")
    text = render_validation_page(content, None)
    assert "of the sessions of B (2010-2011) the open equals the last close" in text
    assert (
        "<td>the open equals the last close</td><td class=number>25 %</td><td class=number>100.0 %"
        "</td><td class=number>2</td>" in text
    )
    clean = render_validation_page(summarise({"A": validate(make_bars(500, "A"))}), None)
    assert "require_tradable=off" in clean and "<li>" not in clean


def test_validation_page_shows_what_checks_found_and_folds_the_rest() -> None:
    text = render_validation_page(summarise(judged(1)), None)
    shown, folded = text.split("checks found nothing</summary>")
    names = r'<th scope="row">(\w+)</th>'
    assert re.findall(names, shown) == ["finite", "missing"]
    assert {"volume", "gap", "jump"} <= set(re.findall(names, folded.split("</details>")[0]))
    # A volume is a number in full.
    assert re.search(r"volume [\d,]{7,},", shown) and "e+0" not in shown


def test_validation_page_of_many_symbols_folds_all_rows_but_the_first() -> None:
    text = render_validation_page(summarise(judged(60)), None)
    assert text.count("<summary>40 more</summary>") == 2
    assert text.count("10 more are in validation.json.") == 2


def test_runs_of_a_strip_merge_neighbours_and_leave_out_what_is_not_expected() -> None:
    strip = np.array([0.0, 0.0, 0.01, 0.3, 0.3, np.nan, np.nan, 1.0])
    firsts, ends, levels = _runs(strip)
    assert list(zip(firsts, ends, levels, strict=True)) == [
        (0, 2, 0),
        (2, 3, 1),
        (3, 5, 3),
        (7, 8, 4),
    ]


LAYOUTS = {"one symbol": (1, ""), "long names": (12, "a_very_long_name_of_a_symbol_" * 3)}


@pytest.mark.run
@pytest.mark.parametrize("name", LAYOUTS)
def test_browser_shows_the_whole_validation_page(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    check_layout(*LAYOUTS[name], browser, tmp_path)


@pytest.mark.long
@pytest.mark.run
def test_browser_shows_the_whole_validation_page_of_many_symbols(
    browser: Browser, tmp_path: Path
) -> None:
    check_layout(300, "", browser, tmp_path)
    assert not browser.accessibility_findings()


def check_layout(symbols: int, suffix: str, browser: Browser, folder: Path) -> None:
    file = folder / "validation.html"
    validations = judged(symbols, suffix)
    file.write_text(render_validation_page(summarise(validations), picture_of(validations)))
    for width, dark in ((700, False), (1600, True)):
        browser.show(file, width=width, dark=dark)
        assert browser.findings(may_scroll=True) == []
        assert browser.errors == []
    browser.resize(800, media="print")
    assert browser.findings() == []


@pytest.mark.long
def test_validation_page_of_2000_symbols_stays_small() -> None:
    validations = judged(2000)
    text = render_validation_page(summarise(validations), picture_of(validations))
    assert len(text) < 1 << 20
    assert "1,950 more" in text


def test_missing_share_by_bin_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(3):
        expected = SESSIONS[rng.integers(0, 200) : rng.integers(300, 500)]
        missing = expected[rng.random(len(expected)) < 0.1]
        gaps.append(SessionGaps("X", expected, missing, missing[:0]))
    edges = _edges(gaps)
    assert edges[0] == min(g.expected[0] for g in gaps) and len(edges) == 121
    for some in ([gaps[0]], gaps):
        for low, high, share in zip(edges[:-1], edges[1:], _share(some, edges), strict=True):
            inside = [((g.expected >= low) & (g.expected < high)).sum() for g in some]
            lost = [((g.missing >= low) & (g.missing < high)).sum() for g in some]
            np.testing.assert_equal(share, sum(lost) / sum(inside) if sum(inside) else np.nan)
