"""Performance of daily returns: drawdown, the Sharpe ratio, its interval and its deflation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kurtosis, norm, skew

from stockpred.arrays import Dates
from stockpred.evaluation.sharpe import (
    Moments,
    annual,
    deflated_sharpe,
    equity,
    expected_best,
    moments,
    performance,
    probabilistic_sharpe,
    sessions_a_year,
    sharpe,
    sharpe_interval,
)

few = settings(max_examples=25, deadline=None)


@given(seed=st.integers(0, 999))
@few
def test_performance_equals_a_loop_over_returns(seed: int) -> None:
    returns = 0.02 * np.random.default_rng(seed).standard_t(4, 70)
    worth, highest, deepest = 1.0, 1.0, 0.0
    for each in returns:
        worth *= 1 + each
        highest = max(highest, worth)
        deepest = max(deepest, 1 - worth / highest)
    result = performance(returns, 300.0)
    assert result["max_drawdown"] == pytest.approx(deepest)
    assert result["total_return"] == pytest.approx(worth - 1)
    assert result["annual_return"] == pytest.approx(worth ** (300 / 70) - 1)
    assert result["sharpe"] == pytest.approx(returns.mean() / np.std(returns, ddof=1) * 300**0.5)
    assert equity(returns)[[0, -1]] == pytest.approx([1.0, worth])


def test_flat_returns_have_no_sharpe_ratio() -> None:
    flat = np.zeros(100)
    assert sharpe(flat) is None and annual(None, 252.0) is None
    assert (
        deflated_sharpe(moments(flat), 5, 0.01) is None
        and sharpe_interval(flat, 1, 0, 252.0) is None
    )
    assert performance(flat, 252.0)["max_drawdown"] == 0
    assert performance(np.append(-1.5, flat), 252.0)["annual_return"] is None


def days(first: str, last: str) -> Dates:
    return np.arange(first, last, dtype="datetime64[D]").astype("datetime64[s]")


def weekdays(first: str, last: str) -> Dates:
    dates = days(first, last)
    return dates[np.is_busday(dates.astype("datetime64[D]"))]


@pytest.mark.parametrize(
    ("dates", "sessions"),
    [
        (days("2012-01-01", "2014-01-01"), 365.25),
        (weekdays("2012-01-01", "2014-01-01"), 261),
        (weekdays("2012-01-02", "2012-04-20"), 261),
        (days("2012-01-02", "2012-04-20"), 365.25),
    ],
)
def test_annual_figures_of_a_known_process_have_its_truth(dates: Dates, sessions: float) -> None:
    # 0.1 % a session is 44 % a year of 365 days and 30 % a year of weekdays.
    count = sessions_a_year(dates)
    assert count == pytest.approx(sessions, rel=0.025)
    steady = np.full(len(dates) - 1, 0.001)
    truth = 1.001**sessions - 1
    assert performance(steady, count)["annual_return"] == pytest.approx(truth, rel=0.025)
    noise = 0.01 * np.resize([1.0, -1.0], len(steady)) + 0.001
    result = performance(noise, count)
    assert result["sharpe"] == pytest.approx(0.1 * sessions**0.5, rel=0.05)
    assert result["volatility"] == pytest.approx(0.01 * sessions**0.5, rel=0.02)


def test_annual_figures_of_less_than_a_quarter_of_a_year_are_undefined() -> None:
    dates = weekdays("2012-01-02", "2012-03-30")
    count = sessions_a_year(dates)
    result = performance(np.resize([0.02, -0.01], len(dates) - 1), count)
    assert count is None and sessions_a_year(dates[:0]) is None
    undefined = [name for name, value in result.items() if value is None]
    assert undefined == ["annual_return", "volatility", "sharpe"]
    assert sharpe_interval(np.resize([0.02, -0.01], 60), 1, 0, count) is None


def test_deflated_sharpe_reproduces_the_example_of_bailey_and_lopez_de_prado() -> None:
    # Bailey and Lopez de Prado (2014): an annual ratio of 2.5 over 1,250 of 250 days a year,
    # skewness -3, kurtosis 10, 100 trials whose annual ratios have a variance of 1/2: 0.9004.
    luck = expected_best(100, 0.5 / 250)
    assert luck == pytest.approx(0.1132, abs=1e-4)
    result = probabilistic_sharpe(Moments(2.5 / 250**0.5, -3, 10, 1250), luck)
    assert result == pytest.approx(0.9004, abs=1e-4)
    assert expected_best(1, 0.5) == 0 and probabilistic_sharpe(Moments(2.0, 3, 1, 100), 0) is None


def test_deflated_sharpe_accounts_for_skewness_and_kurtosis() -> None:
    returns = 0.01 * np.random.default_rng(0).standard_gamma(2, 500) - 0.019
    ratio = returns.mean() / returns.std(ddof=1)
    spread = 1 - skew(returns) * ratio + (kurtosis(returns) + 2) / 4 * ratio**2
    expected = norm.cdf((ratio - expected_best(7, 0.002)) * 499**0.5 / spread**0.5)
    assert deflated_sharpe(moments(returns), 7, 0.002) == pytest.approx(expected)


def test_deflated_sharpe_of_the_best_noise_trial_rarely_passes() -> None:
    rng = np.random.default_rng(3)
    passed, naive = [], []
    for _ in range(200):
        trials = rng.standard_normal((50, 250))
        ratios = np.array([sharpe(each) or 0.0 for each in trials])
        best = trials[ratios.argmax()]
        passed.append((deflated_sharpe(moments(best), 50, float(ratios.var(ddof=1))) or 0) > 0.95)
        naive.append((deflated_sharpe(moments(best), 1, 0.0) or 0) > 0.95)
    assert np.mean(passed) < 0.1 and np.mean(naive) > 0.9


def test_sharpe_interval_covers_the_true_ratio() -> None:
    rng = np.random.default_rng(4)
    covered = []
    for seed in range(120):
        returns = 0.01 * rng.standard_t(5, 400) / (5 / 3) ** 0.5 + 0.0005
        low, high = sharpe_interval(returns, 1, seed, 252.0) or (1, 0)
        covered.append(low <= 0.05 * 252**0.5 <= high)
    assert 0.90 <= np.mean(covered) <= 0.99
