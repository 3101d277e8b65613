"""Short forms of the study of honesty: verdicts on generated markets match the truth."""

import numpy as np
import pandas as pd
import pytest

from stockpred.training.fit import probability_up
from studies import cases
from studies.markets import generate_market
from studies.run_cases import Runner, run_cases
from studies.sections import SECTIONS, allowed
from studies.verdict import (
    Settings,
    auc_interval,
    default_recipe,
    fit_recipe,
    judge_at_dates,
    judge_recipe,
    make_table,
    table_as_of,
)


def test_table_as_of_a_date_equals_the_table_of_bars_up_to_it() -> None:
    bars, settings = generate_market(2, 200, 0).bars, Settings(horizon=3)
    end = np.unique(bars["date"])[150]
    expected = make_table(bars[bars["date"] <= end], settings)
    pd.testing.assert_frame_equal(
        table_as_of(make_table(bars, settings), end), expected, check_exact=True
    )


def test_allowed_passes_of_200_markets_are_17() -> None:
    assert allowed(200) == 17


def test_run_cases_after_a_kill_resumes_from_kept_results(tmp_path) -> None:
    path = tmp_path / "kept.jsonl"
    arguments = [{"seed": seed} for seed in range(4)]
    assert run_cases(dict, arguments[:3], 1, path) == arguments[:3]
    lines = [
        line.replace('{"seed": 0}]', '{"seed": "kept"}]') for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join([*lines[:-1], lines[-1][:-5]]))  # a kill cuts the last line short
    results = run_cases(dict, arguments, 2, path)
    assert results == [{"seed": "kept"}, *arguments[1:]]
    content = path.read_text()
    assert run_cases(dict, arguments, 1, path) == results and path.read_text() == content


def test_noise_rarely_passes_and_a_strong_signal_passes() -> None:
    noise = [cases.judge_noise(seed, "generated", sessions=1400)["logistic"] for seed in range(2)]
    assert not any(case["passed"] for case in noise)
    assert np.mean([case["auc"] for case in noise]) == pytest.approx(0.5, abs=0.02)
    signal = [cases.judge_signal(seed, 5, 0.65, sessions=1600) for seed in range(4)]
    assert sum(case["passed"] for case in signal) >= 3
    for name in ("best", "auc"):
        assert np.mean([case[name] for case in signal]) == pytest.approx(0.65, abs=0.02)


def test_noise_with_stale_opens_passes_only_without_the_tradability_rule() -> None:
    stale, real = (
        [cases.judge_stale_opens(seed, share, 0.008, sessions=1400) for seed in range(3)]
        for share in (0.97, 0.0)
    )
    assert sum(case["off"] for case in stale) >= 2
    assert not any(case["passed"] for case in stale)
    # Opens that are prices of their own need no rule.
    assert [case["passed"] for case in real] == [case["off"] for case in real] == [False] * 3


def test_random_split_of_overlapping_windows_reports_signal_in_noise() -> None:
    results = [cases.measure_splits(seed, sessions=1000) for seed in range(2)]
    means = {name: np.mean([case[name] for case in results]) for name in results[0]}
    assert means["random"] > 0.6
    assert all(abs(means[name] - 0.5) < 0.06 for name in ("purged", "pipeline", "fits"))


def test_look_at_a_date_equals_the_verdict_on_bars_up_to_it() -> None:
    strong = generate_market(5, 1400, 3, "linear", 1.0)
    settings = Settings()
    recipe, dates = default_recipe("logistic", settings), np.unique(strong.bars["date"])
    first, second = judge_at_dates(
        make_table(strong.bars, settings), recipe, settings, dates[[-6, -1]]
    )
    assert first.passed and second.passed
    bars = strong.bars[strong.bars["date"] <= dates[-6]]
    alone = judge_recipe(make_table(bars, settings), recipe, settings)
    pd.testing.assert_frame_equal(first.predictions, alone.predictions, check_exact=True)


def test_model_fitted_for_a_new_sample_equals_the_judged_model() -> None:
    settings = Settings(refit_every=2000)
    table = make_table(generate_market(3, 400, 0).bars, settings)
    recipe = default_recipe("logistic", settings)
    predictions = judge_recipe(table, recipe, settings).predictions
    rows = table.merge(predictions[["symbol", "date"]], on=["symbol", "date"], how="right")
    predicted = probability_up(fit_recipe(table, recipe, settings), rows)
    assert predicted == pytest.approx(predictions["probability_up"].to_numpy(), abs=1e-6)
    low, high = auc_interval(predictions, 1, 0)
    assert low < judge_recipe(table, recipe, settings).auc < high


@pytest.mark.long
@pytest.mark.parametrize("section", SECTIONS)
def test_claims_of_a_section_hold(section: str, tmp_path) -> None:
    markets = {
        "noise": 60,
        "year": 20,
        "power": 24,
        "tries": 12,
        "auc": 6,
        "coverage": 100,
        "mistake": 20,
        "stale_opens": 10,
    }
    runner = Runner(markets[section], 2, tmp_path / "kept.jsonl", tmp_path / "power.png")
    claims = SECTIONS[section](runner).claims
    assert claims and all(holds for _, holds in claims), claims
