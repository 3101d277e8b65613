"""The e-process: values against a loop, level on noise, power on a signal."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from stockpred.evaluation.metrics import row_log_loss
from stockpred.evaluation.paired_test import lead_over_column
from stockpred.gate.e_process import AT_RISK, STAKES, date_gains, start_e_process
from tests.support.data.forecasts import e_process_of, noise_forecasts, walk_forward_forecasts


def wealth_by_loops(predictions: pd.DataFrame, horizon: int) -> float:
    """The e-value as the docstrings tell it, one bet after another."""
    bettors = len(start_e_process(horizon).log_wealth)
    length = 1
    while length * (bettors - 1) < horizon - 1:
        length += 1
    total = 0.0
    for stake in STAKES:
        wealth, block, gained = [1.0] * bettors, 0, [0.0] * bettors
        for number, (_, rows) in enumerate(predictions.groupby("date")):
            if number and number % length == 0:
                turn = block % bettors
                wealth[turn], gained[turn] = wealth[turn] * (1 + gained[turn]), 0.0
                block += 1
            ratios, worst = [], []
            for p, q, y in zip(rows.probability_up, rows.prior, rows.label, strict=True):
                ratios.append(p / q if y == 1 else (1 - p) / (1 - q))
                worst.append(1 - min(p / q, (1 - p) / (1 - q)))
            most = AT_RISK / length / (sum(worst) / len(worst)) if any(worst) else 0.0
            gained[block % bettors] += min(stake, most) * (sum(ratios) / len(ratios) - 1)
        total += sum(w * (1 + g) for w, g in zip(wealth, gained, strict=True))
    return total / len(STAKES) / bettors


@given(
    seed=st.integers(0, 9999),
    dates=st.integers(1, 40),
    horizon=st.integers(1, 12),
    bold=st.sampled_from([0.0, 0.3, 3.0]),
)
@settings(max_examples=40, deadline=None)
def test_e_process_equals_a_loop_over_bets(
    seed: int, dates: int, horizon: int, bold: float
) -> None:
    predictions = noise_forecasts(seed, dates, 3, bold, horizon)
    result = e_process_of(predictions, horizon)
    assert result.dates == dates
    assert np.exp(result.log_e_value) == pytest.approx(wealth_by_loops(predictions, horizon))
    shuffled = predictions.sample(frac=1, random_state=seed)
    assert e_process_of(shuffled, horizon).log_e_value == pytest.approx(result.log_e_value)


@given(
    dates=st.integers(2, 60),
    horizon=st.sampled_from([1, 2, 3, 5, 8, 40]),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_e_process_updated_in_pieces_equals_one_update(
    dates: int, horizon: int, cuts: list[int]
) -> None:
    gain, risk = date_gains(noise_forecasts(dates, dates, 3, 1.0, horizon), "prior")
    pieces = start_e_process(horizon)
    edges = sorted({0, dates, *(min(cut, dates) for cut in cuts)})
    for first, last in pairwise(edges):
        pieces = pieces.bet(gain[first:last], risk[first:last])
    whole = start_e_process(horizon).bet(gain, risk)
    assert pieces.dates == whole.dates
    assert np.allclose(pieces.log_wealth, whole.log_wealth)
    assert np.allclose(pieces.block, whole.block)


@given(horizon=st.integers(1, 252))
@settings(max_examples=40)
def test_bettor_bets_again_only_after_its_outcomes_are_known(horizon: int) -> None:
    bettors = len(start_e_process(horizon).log_wealth)
    state, blocks = start_e_process(horizon), []
    for _ in range(3 * bettors * max(1, horizon // 2)):
        before, state = state, state.bet(np.array([0.1]), np.array([0.1]))
        if before.log_wealth != state.log_wealth:
            blocks.append(state.dates)  # a bettor's wealth moves when its block ends
        if len(blocks) > bettors:
            break
    first_end, next_begin = blocks[0] - 1, blocks[bettors - 1]
    assert next_begin >= first_end + horizon


def test_wealth_stays_positive_and_finite() -> None:
    rows = noise_forecasts(0, 200, 2)
    for probability in (0.0, 1.0, rows["label"], 1 - rows["label"]):
        result = e_process_of(rows.assign(probability_up=probability))
        assert np.isfinite(result.log_wealth).all() and 0 <= result.p_value <= 1
    assert e_process_of(rows.assign(probability_up=1 - rows["label"])).p_value == 1.0
    assert e_process_of(rows.assign(probability_up=rows["prior"])).log_e_value == 0.0
    assert start_e_process(5).p_value == 1.0


@pytest.mark.parametrize("horizon", [1, 5])
def test_expected_wealth_under_a_true_reference_is_one(horizon: int) -> None:
    # Few and small bets: a mean over heavy tails would not settle.
    results = []
    for seed in range(25):
        predictions = noise_forecasts(seed, 40 * 20, 4, 0.1, horizon)
        gain, risk = date_gains(predictions, "prior")
        for first in range(0, len(gain), 20):
            days = slice(first, first + 12)
            results.append(start_e_process(horizon).bet(gain[days], risk[days]).log_e_value)
    wealth = np.exp(results)
    error = wealth.std() / np.sqrt(len(wealth))
    assert error < 0.04 and abs(wealth.mean() - 1) < 3.3 * error


def share_that_pass(markets: Sequence[pd.DataFrame], horizon: int = 1) -> float:
    """Share of markets that reach 1 / 0.05 on 500 dates or in one of 52 weeks after them."""
    passed = 0
    for predictions in markets:
        gain, risk = date_gains(predictions, "prior")
        assert len(gain) == 760
        state, looks = start_e_process(horizon), []
        for days in (slice(0, 500), *(slice(n, n + 5) for n in range(500, 760, 5))):
            state = state.bet(gain[days], risk[days])
            looks.append(state.p_value)
        passed += min(looks) < 0.05
    return passed / len(markets)


def test_noise_rarely_passes_within_a_year_of_weekly_looks() -> None:
    assert (
        share_that_pass([noise_forecasts(seed, 760, 5 + seed % 16, 0.2) for seed in range(60)])
        <= 0.1
    )


@pytest.mark.long
@pytest.mark.parametrize(("horizon", "bold"), [(1, 0.05), (1, 0.3), (5, 0.2), (10, 0.2), (21, 0.2)])
def test_noise_over_many_markets_passes_a_year_of_weekly_looks_at_most_at_5_percent(
    horizon: int, bold: float
) -> None:
    markets = [noise_forecasts(seed, 760, 5 + seed % 16, bold, horizon) for seed in range(600)]
    # 45 of 600 is exceeded once in 300 times at a true level of 5 %.
    assert share_that_pass(markets, horizon) <= 45 / 600


def test_product_over_dependent_symbols_passes_noise_and_mean_does_not() -> None:
    """What the mean over a date's symbols is for."""
    passed = []
    for seed in range(80):
        rows = noise_forecasts(seed, 500, 20, 0.05, shared=0.9)
        p = np.where(rows["label"] == 1, rows["probability_up"], 1 - rows["probability_up"])
        product = np.log(p / 0.5).sum()
        passed.append((product >= np.log(20), e_process_of(rows).p_value < 0.05))
    by_product, by_mean = np.mean(passed, axis=0)
    assert by_product > 0.15 and by_mean <= 0.05


def test_paired_test_repeated_at_every_look_passes_noise_and_e_process_does_not() -> None:
    """What the bets are for: 5 % a look is more than that when it is asked on and on."""
    by_test = by_looks = 0
    for seed in range(60):
        rows = noise_forecasts(seed, 1000, 1, 0.01)
        label, prior = rows["label"].to_numpy(), rows["prior"].to_numpy()
        lead = row_log_loss(label, prior) - row_log_loss(label, rows["probability_up"].to_numpy())
        looks = range(100, 1001, 50)
        # With one symbol and horizon 1 the plain test by date is Student's.
        by_test += any(ttest_1samp(lead[:n], 0, alternative="greater").pvalue < 0.05 for n in looks)
        gain, risk = date_gains(rows, "prior")
        by_looks += any(start_e_process(1).bet(gain[:n], risk[:n]).p_value < 0.05 for n in looks)
    plain = lead_over_column(rows, "prior", 1).p_value
    assert plain == pytest.approx(ttest_1samp(lead, 0, alternative="greater").pvalue, abs=1e-3)
    assert by_test / 60 > 0.1 and by_looks / 60 <= 0.05


AUC_057 = 0.28  # strength of a market in which the signal alone has an AUC of 0.57


def test_fitted_signal_passes_at_the_first_look() -> None:
    results = [e_process_of(walk_forward_forecasts(AUC_057, seed)).p_value for seed in range(12)]
    assert np.mean(np.array(results) < 0.05 / 2) >= 0.75


@pytest.mark.long
def test_e_process_power_is_no_lower_than_that_of_one_paired_test() -> None:
    walked = [walk_forward_forecasts(AUC_057, seed) for seed in range(150)]
    by_bets = np.mean([e_process_of(rows).p_value < 0.05 / 2 for rows in walked])
    by_test = np.mean([lead_over_column(rows, "prior", 1).p_value < 0.05 for rows in walked])
    assert by_bets >= 0.9 and by_bets >= by_test


@pytest.mark.long
def test_logistic_fitted_to_noise_passes_a_year_of_weekly_looks_at_most_at_5_percent() -> None:
    # 3,800 dates, of which 760 are the holdout and the year after it.
    assert (
        share_that_pass(
            [walk_forward_forecasts(0.0, seed, 5 + seed % 16, 3800) for seed in range(200)]
        )
        <= 17 / 200
    )
