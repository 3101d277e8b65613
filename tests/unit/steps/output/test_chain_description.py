"""Name and description of a chain's run."""

import datetime as dt

from pipeline.chain.summary import note
from pipeline.step import FinishedStep
from pipeline.tags import TAG_KEY_FIGURE
from steps.cli.parameters import taken_by
from steps.output.chain_description import describe_chain

RAW = {name: str(text) for name, text in taken_by("main").items()}
FINISHED = [
    FinishedStep("acquire", "a1", "cached", 0.1, {}, {TAG_KEY_FIGURE: "9 bars"}, {"symbols": 5}),
    FinishedStep("train", "b2", "cached", 0.1, {}, {"candidate": "logistic"}),
    FinishedStep(
        "report", "c3", "executed", 2.0, {}, {"verdict": "No evidence <of> skill: p = 1."}
    ),
    FinishedStep(
        "register",
        "d4",
        "executed",
        1.0,
        {},
        {TAG_KEY_FIGURE: "version 1: Development", "decision": "weak | skill"},
    ),
]


def test_chain_name_says_data_horizon_model_and_settings() -> None:
    assert describe_chain(RAW)(()).name == "us h1"
    assert describe_chain(RAW)(FINISHED).name == "us5 h1 logistic"
    given = {**RAW, "source": "s3://b/my_bars.parquet", "horizon": "5", "folds": "3", "log": "json"}
    assert describe_chain(given)(FINISHED).name == "my_bars h5 logistic folds=3"
    one, other = {"refit_every": "9", "folds": "3"}, {"folds": "3", "refit_every": "9"}
    names = {describe_chain({**given, **RAW, **given})(FINISHED).name for given in (one, other)}
    assert names == {"us5 h1 logistic folds=3 refit_every=9"}, "in whatever order they were given"
    assert describe_chain(RAW, night=dt.date(2026, 11, 27))(()).name == "nightly 2026-11-27"


def test_description_opens_with_verdict_and_pages_then_the_steps() -> None:
    text = note(FINISHED, "7", describe_chain(RAW)(FINISHED))
    verdict, decision, pages, table = text.split("\n\n")
    assert verdict == "**No evidence &lt;of&gt; skill: p = 1.**"
    assert decision == r"Registered as version 1: Development: weak \| skill."
    query = "?workflowType=machine_learning"
    assert pages == f"[report.html](#/experiments/7/runs/c3/artifacts/report.html{query})"
    assert len(table.splitlines()) == 2 + len(FINISHED) and f"runs/a1{query})" in table
