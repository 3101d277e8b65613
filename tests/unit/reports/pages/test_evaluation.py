"""The evaluation's sentences and its page, also as a real browser shows it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports.pages.html import POLICY
from reports.text.verdict import known_biases, trading_summary, verdict_sentence
from stockpred.evaluation.backtest import TradingCosts
from stockpred.evaluation.holdout import Selection, evaluate_holdout
from stockpred.training.split import holdout_start
from stockpred.training.walk_forward import walk_forward
from tests.support.data.generated_tables import generate_table
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
    assert re.match(r"<body><h1>Holdout of logistic, [-\d to]+</h1><p class=lead>Evidence", body)
    # Nothing is fetched and nothing runs.
    assert not re.search(r"https?://|<script|<link|@import|url\(|srcset", page)
    sources = re.findall(r'src="([^"]{0,30})', page)
    assert len(sources) == 8 and all(s.startswith("data:image/png;base64,") for s in sources)
    assert all(re.findall(r'alt="([^"]*)"', page))
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
    assert text.count("<img") == 7 and len(evaluation["by_symbol"]) == 60
    assert len(text) < 3 << 20


def test_evaluation_page_of_a_degenerate_holdout_has_no_nan(constant_page: str) -> None:
    rows = walked(0.0)
    pages = [evaluation_page(part)[0] for part in (rows.assign(label=1.0), rows.iloc[:1])]
    for text in (constant_page, *pages):
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b", re.sub(r'src="[^"]*"', "", text))


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


PROBE = """
<script>
addEventListener('load', () => {
  const found = [...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().right]);
  const seen = {images: found, wide: document.documentElement.scrollWidth,
                height: document.body.scrollHeight};
  document.title = JSON.stringify(seen);
});
</script>
"""


@pytest.mark.run
def test_browser_shows_the_evaluation_page(page: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine: apt-get install chromium, and run it again")
    report, probed = tmp_path / "report.html", tmp_path / "probed.html"
    report.write_text(page)
    assert POLICY in page
    page = page.replace(POLICY, "")  # which would let no probe run
    probed.write_text(page.replace("</body>", PROBE + "</body>"))

    def browse(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--window-size=1200,900",
                "--enable-logging=stderr",
                "--virtual-time-budget=5000",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                f"--user-data-dir={tmp_path / 'profile'}",
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )

    done = browse("--dump-dom", probed.as_uri())
    checks = json.loads(re.search(r"<title>(\{.*?\})</title>", done.stdout)[1])
    assert len(checks["images"]) == 8
    assert all(width > 300 and right <= 1200 for width, right in checks["images"])
    assert checks["wide"] <= 1200 and checks["height"] > 2000
    picture = tmp_path / "page.png"
    done = browse(f"--screenshot={picture}", report.as_uri())
    # Chromium writes a page's errors to its log as "...:CONSOLE:...".
    assert "CONSOLE" not in done.stderr
    assert picture.stat().st_size > 20_000
    broken = page.replace("image/png;base64,", "image/png;base64,x", 1)
    probed.write_text(broken.replace("</body>", f"{PROBE}<script>wrong()</script></body>"))
    done = browse("--dump-dom", probed.as_uri())
    assert "CONSOLE" in done.stderr, "an error of the page would not be seen"
    assert '"images":[[0,' in done.stdout, "a broken picture would not be seen"
