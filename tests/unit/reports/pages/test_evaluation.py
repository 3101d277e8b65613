"""The evaluation's sentences and its page, also as a real browser shows it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.text.verdict import known_biases, trading_summary, verdict_sentence
from stockpred.evaluation.backtest import TradingCosts
from stockpred.evaluation.holdout import Selection, evaluate_holdout
from stockpred.training.split import holdout_start
from stockpred.training.walk_forward import walk_forward
from tests.support.data.generated_tables import generate_table
from tests.support.pages.browser import Browser
from tests.support.pages.evaluation import LOGISTIC, evaluation_page, walked


@pytest.fixture(scope="module")
def page() -> str:
    return evaluation_page(walked(0.5))[0]


@pytest.fixture(scope="module")
def constant_page() -> str:
    """The page of forecasts that never differ."""
    return evaluation_page(walked(0.0).assign(probability_up=0.5, prior=0.5, prior_symbol=0.5))[0]


def test_evaluation_page_is_self_contained_and_begins_with_the_verdict(page: str) -> None:
    assert len(page) < 3 << 20
    body = page[page.index("<body>") :]
    start = r"<body><main><h1>Holdout of logistic, [-\d to]+</h1><p class=lead>Evidence"
    assert re.match(start, body)
    # Nothing is fetched.
    assert not re.search(r"https?://|src=|<link|@import|url\((?!#)", body[: body.index("<script>")])
    descriptions = re.findall(r'role="img" aria-label="([^"]+)"', page)
    assert len(descriptions) == page.count("<svg ") == 7
    assert "five companies that later did well" in page and "git checkout abc" in page
    assert "&lt;script&gt;" in page


def test_evaluation_page_says_how_many_ties_and_sessions_a_year_there_are(page: str) -> None:
    assert re.search(r"There is no tie among [\d,]+ rows with an outcome\.", page)
    assert re.search(r"sessions, 26[0-3]\.\d a year by elapsed time", page)
    predictions = walked(0.5)
    predictions.loc[predictions.index[:7], "label"] = float("nan")
    tied = evaluation_page(predictions)[0]
    assert re.search(r"7 of [\d,]+ rows with an outcome \(\d\.\d %\) are ties: ", tied)


def test_evaluation_page_without_a_defined_correlation_says_so(
    page: str, constant_page: str
) -> None:
    assert re.search(r"date by date, then the mean of [1-9][0-9]*\.", page)
    assert "date by date, of which none is defined here." in constant_page


def test_evaluation_page_without_importances_of_many_symbols_stays_small() -> None:
    table = generate_table(120, 60, 0.3)
    predictions = walk_forward(
        table, LOGISTIC, holdout_start(table["date"], 0.5), 63, random_state=0
    )
    text, evaluation = evaluation_page(predictions, importances=None)
    assert text.count("<svg ") == 6 and len(evaluation["by_symbol"]) == 60
    assert len(text) < 3 << 20


def test_evaluation_page_of_a_degenerate_holdout_has_no_nan(constant_page: str) -> None:
    rows = walked(0.0)
    pages = [evaluation_page(part)[0] for part in (rows.assign(label=1.0), rows.iloc[:1])]
    for text in (constant_page, *pages):
        shown = text[text.index("<body>") : text.index("<script>")]
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b", shown)


def sentence(**fields: object) -> str:
    evaluation = {
        "lead_over_prior": {"mean": 0.0, "p_value": 0.61, "dates": 500},
        "lead_over_prior_by_symbol": {"mean": 0.01, "p_value": 0.01},
        "detectable": {"auc": 0.531, "reason": ""},
        "model": {"log_loss": 0.6931},
        "baselines": {"prior": {"log_loss": 0.6929}},
    }
    return verdict_sentence({**evaluation, **fields})


def test_verdict_sentence_separates_no_evidence_from_no_power() -> None:
    assert sentence() == (
        "No evidence of skill: log loss 0.6931 against 0.6929 for the prior, p = 0.61; "
        "an AUC under 0.53 could not have been seen on these 500 dates."
    )
    hopeless = sentence(detectable={"auc": 0.63, "reason": ""})
    assert hopeless.startswith("No chance to see skill: log loss")
    assert "an AUC under 0.63 could not have been seen" in hopeless
    lead = {"mean": 0.01, "p_value": 1e-9, "dates": 500}
    one_class = sentence(
        lead_over_prior=lead, detectable={"auc": None, "reason": "every outcome was up"}
    )
    assert one_class.startswith("No chance to see skill: every outcome was up; log loss")


def test_verdict_sentence_of_evidence_needs_a_lead_and_a_small_p() -> None:
    lead = {"mean": 0.01, "p_value": 0.012, "dates": 500}
    assert sentence(lead_over_prior=lead) == (
        "Evidence of skill: log loss 0.6931 against 0.6929 for the prior, p = 0.012 "
        "on these 500 dates."
    )
    own = {"mean": 0.001, "p_value": 0.4}
    moved = sentence(lead_over_prior=lead, lead_over_prior_by_symbol=own)
    assert "but not over each symbol's own prior (p = 0.4): a base rate is no skill" in moved
    for poor in ({"mean": -0.01}, {"p_value": 0.05}):
        assert sentence(lead_over_prior={**lead, **poor}).startswith("No evidence of skill")


def test_trading_summary_separates_skill_from_profit() -> None:
    evaluation = evaluate_holdout(walked(0.5), 1, Selection(), TradingCosts())
    assert verdict_sentence(evaluation).startswith("Evidence of skill")
    assert "profit" not in verdict_sentence(evaluation)
    dear = {**evaluation["backtest"], "net": {**evaluation["backtest"]["net"], "total_return": -1}}
    words = trading_summary({"backtest": dear})
    assert words.endswith("At this cost it could not have been traded, whatever its skill.")
    lucky = {**evaluation["backtest"], "sharpe_interval": [-0.1, 3.0]}
    assert "cannot be distinguished from luck: Sharpe ratio" in trading_summary({"backtest": lucky})
    sure = {**evaluation["backtest"], "sharpe_interval": [0.1, 3.0]}
    assert "it need not last" in trading_summary({"backtest": sure})
    idle = {**evaluation["backtest"], "turnover": 0.0}
    assert trading_summary({"backtest": idle}).startswith("Nothing was traded: no forecast reached")


def test_known_biases_depend_on_the_source() -> None:
    assert "five companies" in known_biases("snapshot")[0]
    assert "delisted" in known_biases("yahoo")[0]
    assert "'mine.csv'" in known_biases("mine.csv")[0]
    assert "Tradability: stale." in known_biases("mine.csv", ["stale"])


@pytest.mark.run
def test_browser_runs_no_script_but_the_page_s_own(
    page: str, browser: Browser, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(page.replace("</body>", "<script>document.title = 'run'</script></body>"))
    browser.show(report)
    assert browser.evaluate("document.title") != "run"
    assert "Content Security Policy" in browser.errors[0]


@pytest.mark.run
def test_pointer_and_arrow_keys_read_the_curves_off(
    page: str, browser: Browser, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(page)
    browser.show(report)
    readout = "document.querySelector('figure output').textContent"
    assert browser.evaluate(readout).startswith("Point at a curve")
    box = browser.evaluate("document.querySelector('figure svg').getBoundingClientRect().toJSON()")
    middle = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 20}
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **middle)
    value = r"-?\d+\.\d+"
    text = browser.evaluate(readout)
    assert re.fullmatch(
        rf"(\d{{4}}-\d\d-\d\d) · lead over the prior {value} · model, net of costs {value} "
        rf"· buy and hold {value}",
        text,
    )
    browser.evaluate("document.querySelector('figure svg').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    assert browser.evaluate(readout)[:10] > text[:10]


def predictions_of(symbols: int, dates: int, prefix: str = "S") -> pd.DataFrame:
    """Forecasts of some symbols on some dates, all of them copies of a few."""
    rows = walked(0.5)
    rows = rows[rows["date"].isin(np.unique(rows["date"])[:dates])]
    names = rows["symbol"].unique()
    copies = [
        rows[rows["symbol"] == names[number % len(names)]].assign(symbol=f"{prefix}{number}")
        for number in range(symbols)
    ]
    return pd.concat(copies).sort_values(["date", "symbol"], ignore_index=True)


LAYOUTS = {
    "one symbol": {"symbols": 1, "dates": 200},
    "one date": {"symbols": 3, "dates": 1},
    "few dates": {"symbols": 2, "dates": 6},
    "many symbols": {"symbols": 60, "dates": 120},
    "long names": {"symbols": 7, "dates": 90, "prefix": "A_long_name_on_an_exchange_" * 2},
}


@pytest.mark.run
def test_evaluation_page_is_readable_in_any_frame(
    page: str, browser: Browser, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(page)
    assert browser.layout_findings(report) == []


@pytest.mark.run
def test_evaluation_page_is_accessible_in_light_and_dark(
    page: str, browser: Browser, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(page)
    for dark in (False, True):
        browser.show(report, dark=dark)
        browser.evaluate("document.querySelector('details').open = true")
        assert browser.accessibility_findings() == []


@pytest.mark.run
def test_printed_evaluation_page_shows_what_is_folded(
    page: str, browser: Browser, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(page)
    seen = "document.querySelector('details pre').checkVisibility()"
    browser.show(report, dark=True)
    assert not browser.evaluate(seen)
    browser.resize(800, dark=True, media="print")
    assert browser.evaluate(seen)
    assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(34, 48, 60)"


@pytest.mark.run
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "long names" else [pytest.mark.long])
        for name in LAYOUTS
    ],
)
def test_evaluation_page_of_extremes_is_readable_in_any_frame(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    long_names = {f"feature_{'with_a_long_name_' * 2}{n}": 1e-5 * n for n in range(30)}
    text, _ = evaluation_page(predictions_of(**LAYOUTS[name]), importances=long_names)
    report.write_text(text)
    assert browser.layout_findings(report) == []


@pytest.mark.run
def test_findings_name_overlaps_cuts_and_tiny_text(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    line = '<text x="{}" y="20" style="font-size:{}px">{}</text>'
    texts = [("1", 10, "first words"), ("5", 10, "second"), ("90", 10, "cut"), ("60", 3, "tiny")]
    body = (
        f'<svg viewBox="0 0 100 40" width="100">{"".join(line.format(*t) for t in texts)}</svg>'
        '<div class="wide" style="width:50px;overflow:auto"><table><tr><td>Donaudampfschiff'
        "</td></tr></table></div><script>wrong()</script>"
    )
    file.write_text(f"<!doctype html><body>{body}</body>")
    browser.show(file)
    found = " ".join(browser.findings())
    for words in ('overlap: "first words" and "second"', "cut: text of a picture: cut", "tiny: "):
        assert words in found
    assert "cut: DIV" in found and "cut: DIV" not in " ".join(browser.findings(may_scroll=True))
    assert "wrong is not defined" in browser.errors[0]
