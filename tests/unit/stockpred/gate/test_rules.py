"""The gate's rules and the metrics that they read."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from stockpred.evaluation.metrics import row_log_loss
from stockpred.evaluation.paired_test import paired_lead
from stockpred.gate.expected_lead import ExpectedLead, expected_lead, refresh_metrics
from stockpred.gate.metrics import (
    baseline_metrics,
    champion_metrics,
    excess_calibration_error,
    join_champion,
    references,
    sessions_after,
    shared_symbols,
    trained_to,
    unsound_share,
    untradable_share,
    untradable_years,
)
from stockpred.gate.rules import BASELINE_RULES, CHAMPION_RULES, Decision, Rule, check_rules, decide
from stockpred.gate.sequential_looks import LookData, add_look, hypothesis_of
from tests.support.data.forecasts import e_process_of, noise_forecasts, walk_forward_forecasts

SOUND = {"unsound_share": 0.0, "untradable_share": 0.0}
GOOD = {
    "lead": 0.01,
    "anytime_p_value": 0.01,
    "excess_calibration_error": 0.01,
    "dates": 500,
    **SOUND,
    "worse_than_prior_p_value": 0.9,
    "shortfall_p_value": 0.5,
    "shared_symbols": 1.0,
}
AHEAD = {
    "common_dates": 400,
    "champion_lead": 0.01,
    "champion_lead_p_value": 0.01,
    "champion_anytime_p_value": 0.01,
}
LEVEL = {**AHEAD, "champion_lead": -0.001}


def decide_with(values: dict[str, float | None], **flags: bool) -> Decision:
    return decide({**GOOD, **values}, **flags)


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")])
@pytest.mark.parametrize("direction", ["below", "above", "at_least"])
def test_rule_with_an_unknown_value_fails(missing: float | None, direction: str) -> None:
    [result] = check_rules({"x": missing}, [Rule("x", direction, 0.0, "")])
    assert not result.passed and result.value is None
    assert not check_rules({}, [Rule("x", direction, 0.0, "")])[0].passed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lead", 0.0),
        ("lead", -0.1),
        ("anytime_p_value", 0.05),
        ("dates", 249),
        ("excess_calibration_error", 0.05),
        ("anytime_p_value", None),
        ("lead", float("nan")),
        ("unsound_share", 0.05),
        ("unsound_share", None),
        ("untradable_share", 0.05),
        ("untradable_share", None),
    ],
)
def test_model_failing_one_baseline_rule_stays_in_development(
    name: str, value: float | None
) -> None:
    decision = decide_with({name: value})
    assert (decision.stage, decision.aliases) == ("Development", ())
    assert name in decision.sentence
    assert [v.passed for v in decision.results].count(False) == 1
    # What validation.json of an earlier release lacks, a new one has.
    is_lacking = value is None and name in SOUND
    assert ("; fix: give validation.json of a new run" in decision.sentence) == is_lacking


def test_first_model_to_pass_is_champion_or_staged_in_pilot() -> None:
    assert decide_with({}).aliases == ("champion",)
    assert len(decide_with({}).results) == len(BASELINE_RULES)
    decision = decide_with({}, may_promote=False)
    assert (decision.stage, decision.aliases) == ("Staging", ("challenger",))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("common_dates", 249),
        ("champion_lead", 0.0),
        ("champion_lead_p_value", 0.1),
        ("champion_lead_p_value", None),
        ("champion_anytime_p_value", 0.1),
        ("champion_anytime_p_value", None),
        ("shared_symbols", 0.4),
        ("shared_symbols", None),
    ],
)
def test_new_recipe_replaces_champion_only_if_better_on_enough_common_dates(
    name: str, value: float | None
) -> None:
    assert decide_with(AHEAD, has_champion=True).aliases == ("champion",)
    decision = decide_with({**AHEAD, name: value}, has_champion=True)
    assert (decision.stage, decision.aliases) == ("Staging", ("challenger",))
    assert "stays challenger" in decision.sentence and name in decision.sentence
    assert decide_with({}, has_champion=True).aliases == ("challenger",)


def test_new_recipe_replaces_a_champion_without_remaining_skill() -> None:
    fallen = {**LEVEL, "champion_baseline_p_value": 0.6, "common_p_value": 0.01}
    decision = decide_with(fallen, has_champion=True)
    assert decision.aliases == ("champion",) and "shows none" in decision.sentence
    # Each rule is listed once, also those that both ways share.
    rules = [result.rule for result in decision.results]
    assert len(rules) == len(set(rules)) == len(BASELINE_RULES) + len(CHAMPION_RULES) + 2
    for name, value in (
        ("champion_baseline_p_value", 0.01),
        ("champion_baseline_p_value", None),
        ("common_p_value", 0.05),
        ("common_dates", 249),
        ("shared_symbols", 0.1),
    ):
        assert decide_with({**fallen, name: value}, has_champion=True).stage == "Staging"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shortfall_p_value", 0.01),
        ("worse_than_prior_p_value", 0.01),
        ("shared_symbols", 0.0),
        ("excess_calibration_error", 0.2),
        ("unsound_share", None),
        ("untradable_share", 0.05),
        ("shortfall_p_value", None),
    ],
)
def test_refresh_replaces_champion_unless_it_became_worse(name: str, value: float | None) -> None:
    refresh = {"has_champion": True, "is_refresh": True}
    no_new_proof = {"lead": -0.0001, "anytime_p_value": 0.6}
    assert decide_with(no_new_proof, **refresh).aliases == ("champion",)
    assert decide_with({**no_new_proof, name: value}, **refresh).stage == "Development"
    assert decide_with(no_new_proof, may_promote=False, **refresh).stage == "Staging"


def test_weak_skill_is_said_before_other_symbols_than_the_champions() -> None:
    """A recipe on data of its own, under a name whose champion has the same recipe."""
    elsewhere = {"shared_symbols": 0.2222}
    weak = decide_with({**elsewhere, "anytime_p_value": 0.4}, has_champion=True, is_refresh=True)
    assert weak.stage == "Development" and "anytime_p_value 0.4" in weak.sentence
    strong = decide_with(elsewhere, has_champion=True, is_refresh=True)
    assert strong.stage == "Development" and "shared_symbols 0.2222" in strong.sentence


def gate_metrics(
    rows: pd.DataFrame, recipe: str = "r", record: tuple = ()
) -> dict[str, float | None]:
    look = add_look(
        record, hypothesis_of(recipe, rows), LookData(rows, references(rows), "data", 1)
    )
    return baseline_metrics(rows, look, 1)


def test_gate_passes_signal_and_refuses_noise() -> None:
    skilled, noise = (
        gate_metrics(walk_forward_forecasts(0.5, 1)),
        gate_metrics(walk_forward_forecasts(0.0, 1)),
    )
    assert decide({**skilled, **SOUND}).aliases == ("champion",)
    assert decide({**noise, **SOUND}).aliases == ()
    assert decide(skilled).aliases == ()  # nobody validated the bars


def test_base_rate_by_symbol_is_not_skill() -> None:
    rng = np.random.default_rng(0)
    rows = noise_forecasts(0, 500, 4, 0.0)
    rate = rows["symbol"].map({"S0": 0.35, "S1": 0.45, "S2": 0.55, "S3": 0.65})
    rows["label"] = (rng.random(len(rows)) < rate).astype(float)
    rows["probability_up"] = rate
    assert decide({**gate_metrics(rows), **SOUND}).stage == "Production"
    by_symbol = rows.assign(prior_symbol=rate + 0.001)
    values = gate_metrics(by_symbol)
    assert values["anytime_p_value"] == 1.0 and values["lead"] < 0.001
    assert decide({**values, **SOUND}).stage == "Development"


@pytest.mark.parametrize("symbols", [1, 5, 20])
def test_excess_calibration_error_of_calibrated_forecasts_is_near_0(symbols: int) -> None:
    rng = np.random.default_rng(symbols)
    rows = noise_forecasts(0, 500, symbols, 0.0)
    truth = rng.uniform(0.4, 0.6, len(rows))
    results = []
    for _ in range(40):
        label = (rng.random(len(rows)) < truth).astype(float)
        results.append(excess_calibration_error(rows.assign(probability_up=truth, label=label)))
    assert np.mean(np.array(results) < 0.05) >= 0.95
    wrong = rows.assign(probability_up=truth + 0.15, label=label)
    assert excess_calibration_error(wrong) == pytest.approx(0.15, abs=0.07)
    assert excess_calibration_error(rows.iloc[:0]) == 0.0


def test_excess_calibration_error_equals_a_loop() -> None:
    rows = noise_forecasts(3, 60, 4, 0.8)
    ordered = rows.sort_values("probability_up", kind="stable")
    total = 0.0
    for part in np.array_split(np.arange(len(rows)), 10):
        bin_ = ordered.iloc[part]
        error = bin_["probability_up"] - bin_["label"]
        spread = sum((d - error.mean()).sum() ** 2 for _, d in error.groupby(bin_["date"]))
        total += abs(error.mean()) * len(bin_) - np.sqrt(2 / np.pi * spread)
    assert excess_calibration_error(rows) == pytest.approx(max(0, total / len(rows)))


def test_join_champion_keeps_rows_of_both_with_equal_outcomes() -> None:
    ours = noise_forecasts(0, 50, 3)
    theirs = ours[(ours["symbol"] != "S2") & (ours["date"] > ours["date"].min())]
    theirs = theirs.assign(probability_up=0.4, label=theirs["label"].where(theirs.index > 3, 0.5))
    common = join_champion(ours, theirs)
    assert len(common) == 2 * 49 - 1 and set(common["champion"]) == {0.4}
    assert set(ours.columns) < set(common.columns)
    assert shared_symbols(ours, theirs) == pytest.approx(2 / 3)


def test_new_recipe_is_compared_with_champion() -> None:
    ours = walk_forward_forecasts(0.5, 1)
    common = join_champion(ours, ours.assign(probability_up=ours["prior"]))
    look = add_look(
        [], hypothesis_of("new", common, "old"), LookData(common, ("champion",), "data", 1)
    )
    values = champion_metrics(common, look, 1)
    label = common["label"].to_numpy()
    loss, other = (row_log_loss(label, common[c].to_numpy()) for c in ("probability_up", "prior"))
    assert values["champion_lead"] == paired_lead(common["date"], loss, other).mean
    assert values["champion_anytime_p_value"] == 2 * e_process_of(common).p_value < 0.01
    assert values["champion_baseline_p_value"] == 1.0
    assert values["common_p_value"] == e_process_of(common).p_value
    same = join_champion(ours, ours)
    look = add_look([], hypothesis_of("new", same, "old"), LookData(same, ("champion",), "data", 1))
    values = {**gate_metrics(ours), **champion_metrics(same, look, 1), "shared_symbols": 1.0}
    assert decide({**values, **SOUND}, has_champion=True).stage == "Staging"
    nothing = champion_metrics(
        same.iloc[:0],
        add_look([], look.hypothesis, LookData(same.iloc[:0], ("champion",), "data", 1)),
        1,
    )
    assert nothing["common_dates"] == 0 and nothing["champion_lead"] is None


def against_champion(seed: int, bold: float, champion_bold: float) -> dict[str, float | None]:
    """Two recipes that know the same signal and trust it more or less than it deserves."""
    rng = np.random.default_rng(seed)
    rows = noise_forecasts(seed, 500, 5, 0.0)
    signal = 0.3 * rng.standard_normal(len(rows))
    label = (rng.random(len(rows)) < expit(signal)).astype(float)
    rows = rows.assign(label=label, probability_up=expit(bold * signal))
    common = join_champion(rows, rows.assign(probability_up=expit(champion_bold * signal)))
    look = add_look(
        [], hypothesis_of("new", common, "old"), LookData(common, ("champion",), "data", 1)
    )
    return {**GOOD, **champion_metrics(common, look, 1), "champion_baseline_p_value": 0.0}


def test_overconfident_recipe_worse_than_a_timid_champion_is_not_promoted() -> None:
    worse = [against_champion(seed, 1.9, 0.5) for seed in range(25)]
    assert np.mean([values["champion_anytime_p_value"] < 0.1 for values in worse]) > 0.5
    promoted = [decide(values, has_champion=True).stage == "Production" for values in worse]
    assert np.mean(promoted) <= 0.1
    better = [against_champion(seed, 1.0, 0.0) for seed in range(25)]
    promoted = [decide(values, has_champion=True).stage == "Production" for values in better]
    assert np.mean(promoted) > 0.7


def test_shortfall_is_significant_only_for_a_record_below_its_promise() -> None:
    rows = walk_forward_forecasts(0.5, 2, dates=4000)  # 800 dates in the holdout
    dates = np.unique(rows["date"])
    early = rows[rows["date"] < dates[400]]
    promised = expected_lead(early, 1)
    assert promised.last_date == trained_to(early) == f"{dates[399].astype('datetime64[D]')}"
    assert refresh_metrics(rows, promised, 1)["shortfall_p_value"] > 0.05
    fallen = rows.copy()
    fallen.loc[rows["date"] >= dates[400], "probability_up"] = 0.5
    assert refresh_metrics(fallen, promised, 1)["shortfall_p_value"] < 0.05
    # Only the last 250 dates after the promise count, and none before it.
    late = fallen[fallen["date"] >= dates[550]]
    assert refresh_metrics(late, promised, 1) == refresh_metrics(fallen, promised, 1)
    assert refresh_metrics(early, promised, 1)["shortfall_p_value"] == 1.0
    assert (
        refresh_metrics(rows, ExpectedLead(0.1, 0.0, promised.last_date, 0.1), 1)[
            "shortfall_p_value"
        ]
        < 1e-6
    )


def test_sessions_after_counts_sessions_of_the_data() -> None:
    rows = noise_forecasts(0, 30, 2)
    days = [f"{day:%Y-%m-%d}" for day in pd.to_datetime(np.unique(rows["date"]))]
    assert [sessions_after(rows, day) for day in days] == list(range(29, -1, -1))
    assert sessions_after(rows, "2099-01-01") == 0
    # 2015-01-01 is a Thursday: Wednesday, Tuesday, Monday before it.
    assert [sessions_after(rows, f"2014-12-{d}") for d in (31, 30, 29, 26)] == [30, 31, 32, 33]


@pytest.mark.parametrize("broken", [None, [], {}, {"bars": 3}, {"bars": 0, "listed": 0}])
def test_unsound_share_of_an_incomplete_validation_is_none(broken: object) -> None:
    assert unsound_share(broken) is None


def test_unsound_share_is_the_share_of_removed_bars() -> None:
    assert unsound_share({"bars": 95, "listed": 100}) == pytest.approx(0.05)
    assert unsound_share({"bars": 95, "listed": 95}) == 0.0


YEARS = [
    {"symbol": "A", "year": 2011, "above": ["stale_opens"]},
    {"symbol": "A", "year": 2012, "above": []},
    {"symbol": "B", "year": 2012, "above": ["flat", "no_volume"]},
    {"symbol": "C", "year": 2012, "above": ["flat"]},
]


def predictions_of_two_years() -> pd.DataFrame:
    dates = pd.to_datetime(["2011-12-29", "2011-12-30", "2012-01-02", "2012-01-03"])
    rows = pd.DataFrame({"date": np.tile(dates, 2), "symbol": ["A"] * 4 + ["B"] * 4})
    return rows.assign(label=[1, 0, 1, np.nan, 0, 1, 1, 1])


def test_untradable_share_counts_judged_rows_of_symbols_and_years_above_a_limit() -> None:
    rows = predictions_of_two_years()
    years = untradable_years({"tradability": {"years": YEARS}}, rows)
    # A row without a label is not judged, nor is a symbol without a forecast.
    assert [(y["symbol"], y["year"], y["judged"]) for y in years or []] == [
        ("A", 2011, 2),
        ("B", 2012, 2),
    ]
    assert untradable_share(rows, years) == pytest.approx(4 / 7)
    assert untradable_share(rows.assign(symbol=rows["symbol"].astype("category")), years) == 4 / 7
    assert untradable_share(rows, []) == 0.0
    assert untradable_share(rows.assign(label=np.nan), years) is None


@pytest.mark.parametrize("content", [None, [], {}, {"tradability": 1}, {"bars": 1, "listed": 1}])
def test_untradable_share_of_an_incomplete_validation_is_none(content: object) -> None:
    rows = predictions_of_two_years()
    assert untradable_share(rows, untradable_years(content, rows)) is None


@pytest.mark.parametrize("phase_options", [{}, {"has_champion": True, "is_refresh": True}])
def test_waived_rule_is_left_out_of_the_decision(phase_options: dict[str, bool]) -> None:
    refused = decide_with({"untradable_share": 0.9}, **phase_options)
    assert refused.stage == "Development" and "could be traded at" in refused.sentence
    waived = decide(
        {**GOOD, "untradable_share": 0.9}, waived=("untradable_share",), **phase_options
    )
    assert waived.aliases == ("champion",)
    assert len(waived.results) == len(refused.results) - 1
