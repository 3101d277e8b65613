"""Returns by session: Sharpe ratio, its interval, the deflated one, drawdown."""

import math
from typing import NamedTuple

import numpy as np

from stockpred.arrays import Array
from stockpred.evaluation.bootstrap import Interval, Statistic, bootstrap

SESSIONS_A_YEAR = 252
_EULER = 0.5772156649015329


def sharpe(returns: Array) -> float | None:
    """Mean over standard deviation of returns by session, not annualised; None where flat.

    The risk-free rate is taken as 0: cash earns nothing in the backtest.
    """
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation if deviation > 1e-12 else None


def annual(per_session: float | None) -> float | None:
    """A Sharpe ratio or a deviation by session, annualised over 252 sessions."""
    return None if per_session is None else per_session * math.sqrt(SESSIONS_A_YEAR)


def sharpe_interval(returns: Array, horizon: int, random_state: int) -> Interval:
    """95 % interval of the annualised Sharpe ratio, by `bootstrap.bootstrap` over sessions."""
    moments = np.column_stack([returns, returns**2])
    count = len(returns)
    if sharpe(returns) is None:
        return None

    def of(weights: Array) -> Array:
        first, second = (weights @ moments).T / count
        variance = np.maximum(second - first**2, 0) * count / (count - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(variance > 1e-24, first / np.sqrt(variance), np.nan) * math.sqrt(
                SESSIONS_A_YEAR
            )

    return bootstrap({"sharpe": Statistic(of)}, count, horizon, random_state)["sharpe"]


class Moments(NamedTuple):
    """What the deflated Sharpe ratio needs of returns by session; `kurtosis` is 3 for normal."""

    ratio: float
    skewness: float
    kurtosis: float
    sessions: int


def moments(returns: Array) -> Moments | None:
    """Moments of returns by session, shape (sessions,); None where the ratio is undefined."""
    ratio = sharpe(returns)
    if ratio is None:
        return None
    from scipy.stats import kurtosis, skew

    shape = float(skew(returns)), float(kurtosis(returns, fisher=False))
    return Moments(ratio, *shape, len(returns))


def deflated_sharpe(of: Moments | None, trials: int, sharpe_variance: float) -> float | None:
    """Probability that the true Sharpe ratio is above what the best of some trials has by luck.

    Bailey and Lopez de Prado (2014), "The deflated Sharpe ratio": the ratio is held against the
    expected maximum of `trials` ratios without skill, and its error takes skewness and kurtosis
    into account. With one trial it is held against 0.

    Parameters
    ----------
    of : Moments, optional
        Of the strategy's returns.
    trials : int
        Strategies tried, this one included.
    sharpe_variance : float
        Variance of their Sharpe ratios by session.

    Returns
    -------
    float or None
        None where the ratio is undefined.
    """
    if of is None:
        return None
    luck = expected_best(trials, sharpe_variance)
    return probabilistic_sharpe(of.ratio, luck, of.sessions, of.skewness, of.kurtosis)


def expected_best(trials: int, sharpe_variance: float) -> float:
    """Expected highest of the Sharpe ratios by session of some trials without skill."""
    if trials < 2:
        return 0.0
    from scipy.stats import norm

    highest, near = norm.ppf(1 - 1 / trials), norm.ppf(1 - 1 / (trials * math.e))
    return math.sqrt(sharpe_variance) * float((1 - _EULER) * highest + _EULER * near)


def probabilistic_sharpe(
    ratio: float, against: float, sessions: int, skewness: float, kurtosis: float
) -> float | None:
    """Probability that the true Sharpe ratio by session is above another (Bailey and Lopez de
    Prado 2012); `kurtosis` is 3 for normal returns. None where its error is undefined.
    """
    from scipy.stats import norm

    spread = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    if not spread > 0:
        return None
    return float(norm.cdf((ratio - against) * math.sqrt(sessions - 1) / math.sqrt(spread)))


def equity(returns: Array) -> Array:
    """Worth of 1 after each session, shape (sessions + 1,), the beginning included."""
    return np.concatenate([[1.0], np.cumprod(1 + returns)])


def performance(returns: Array) -> dict[str, float | None]:
    """``total_return``, ``annual_return`` (compounded), ``volatility`` (annual), ``sharpe``
    (annual), ``max_drawdown`` (share of the highest worth before).

    None where undefined; annual_return also below a quarter of a year, which promises no year.
    """
    worth = equity(returns)
    end, years = float(worth[-1]), len(returns) / SESSIONS_A_YEAR
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else None
    return {
        "total_return": end - 1,
        "annual_return": end ** (1 / years) - 1 if years >= 0.25 and end > 0 else None,
        "volatility": annual(deviation),
        "sharpe": annual(sharpe(returns)),
        "max_drawdown": float((1 - worth / np.maximum.accumulate(worth)).max()),
    }
