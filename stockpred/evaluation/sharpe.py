"""Metrics of returns by session: Sharpe ratio, its interval, deflated Sharpe ratio, drawdown."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from stockpred.arrays import Array, Dates
from stockpred.evaluation.bootstrap import Interval, Statistic, bootstrap

DAYS_A_YEAR = 365.25
SHORTEST = 0.25  # years; an annual figure of less would be mostly extrapolation
_EULER = 0.5772156649015329


def sharpe(returns: Array) -> float | None:
    """Compute the Sharpe ratio by session: mean over standard deviation, not annualised.

    The risk-free rate is 0: cash earns nothing in the backtest.

    Parameters
    ----------
    returns : array, shape (sessions,)
        Simple returns; no NaN.

    Returns
    -------
    float or None
        None for fewer than two sessions or constant returns.
    """
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation if deviation > 1e-12 else None


def sessions_a_year(dates: Dates) -> float | None:
    """Count the sessions in a year of elapsed time, whatever calendar the dates follow.

    Parameters
    ----------
    dates : array of datetime64, shape (sessions,)
        Sessions of a portfolio, in order, without repeats: of symbols with different calendars all
        dates on which at least one trades. A return is from each date to the next, so the first
        date only begins the time.

    Returns
    -------
    float or None
        None where the dates span less than a quarter of a year: over so few sessions the count
        depends on the weekday at each end.

    Examples
    --------
    >>> days = np.arange("2012-01-01", "2014-01-01", dtype="datetime64[D]")
    >>> weekdays = days[np.is_busday(days)]
    >>> [round(sessions_a_year(dates), 1) for dates in (days, weekdays)]
    [365.2, 261.0]
    """
    if not len(dates):
        return None
    years = float(elapsed_years(dates[:1], dates[-1:])[0])
    return (len(dates) - 1) / years if years >= SHORTEST else None


def elapsed_years(first: Dates, last: Dates) -> Array:
    """Return the years from some dates to others, of the same shape."""
    return (last - first) / np.timedelta64(1, "D") / DAYS_A_YEAR


def annual(per_session: float | None, sessions: float | None) -> float | None:
    """Annualise a Sharpe ratio or a standard deviation by session, over the sessions of a year."""
    return None if per_session is None or sessions is None else per_session * math.sqrt(sessions)


def sharpe_interval(
    returns: Array, horizon: int, random_state: int, sessions: float | None
) -> Interval:
    """Compute the 95 % interval of the annualised Sharpe ratio by a bootstrap over sessions.

    Parameters
    ----------
    returns : array, shape (sessions,)
        Simple returns; no NaN.
    horizon : int
        Sessions from entry to exit.
    random_state : int
        Seed of the bootstrap.
    sessions : float, optional
        Sessions of a year, as from `sessions_a_year`; None: too few dates to annualise.

    Returns
    -------
    (float, float) or None
        See `bootstrap.bootstrap`; None without sessions of a year.
    """
    powers = np.column_stack([returns, returns**2])
    count = len(returns)
    if sharpe(returns) is None or sessions is None:
        return None
    factor = math.sqrt(sessions)

    def of(weights: Array) -> Array:
        first, second = (weights @ powers).T / count
        variance = np.maximum(second - first**2, 0) * count / (count - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(variance > 1e-24, first / np.sqrt(variance), np.nan) * factor

    return bootstrap({"sharpe": Statistic(of)}, count, horizon, random_state)["sharpe"]


class Moments(NamedTuple):
    """Moments of returns by session that the deflated Sharpe ratio needs.

    Attributes
    ----------
    ratio : float
        Sharpe ratio by session.
    skewness : float
        0 for normal returns.
    kurtosis : float
        3 for normal returns.
    sessions : int
        Number of returns.
    """

    ratio: float
    skewness: float
    kurtosis: float
    sessions: int


def moments(returns: Array) -> Moments | None:
    """Compute `Moments` of returns by session, (sessions,); None where the ratio is undefined."""
    ratio = sharpe(returns)
    if ratio is None:
        return None
    from scipy.stats import kurtosis, skew  # noqa: PLC0415 - a second, and only a backtest needs it

    shape = float(skew(returns)), float(kurtosis(returns, fisher=False))
    return Moments(ratio, *shape, len(returns))


def deflated_sharpe(moments: Moments | None, trials: int, sharpe_variance: float) -> float | None:
    """Compute the deflated Sharpe ratio.

    The probability that the true Sharpe ratio is above the expected maximum of `trials` ratios
    without skill; with one trial, above 0.

    Parameters
    ----------
    moments : Moments, optional
        Of the strategy's returns.
    trials : int
        Strategies tried, this one included.
    sharpe_variance : float
        Variance of their Sharpe ratios by session.

    Returns
    -------
    float or None
        From 0 to 1; None where the ratio is undefined.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2014). The deflated Sharpe ratio: correcting for selection
    bias, backtest overfitting and non-normality. Journal of Portfolio Management 40, 94-107.

    Examples
    --------
    The example of the paper: an annual ratio of 2.5 over five years of 250 sessions, the best of
    100 trials whose annual ratios have a variance of 1/2.

    >>> print(f"{deflated_sharpe(Moments(2.5 / 250**0.5, -3.0, 10.0, 1250), 100, 0.5 / 250):.4f}")
    0.9004
    """
    if moments is None:
        return None
    return probabilistic_sharpe(moments, expected_best(trials, sharpe_variance))


def expected_best(trials: int, sharpe_variance: float) -> float:
    """Compute the expected maximum of the Sharpe ratios by session of trials without skill.

    Parameters
    ----------
    trials : int
        Number of trials.
    sharpe_variance : float
        Variance of their Sharpe ratios by session.

    Returns
    -------
    float
        Sharpe ratio by session; 0 for one trial.

    References
    ----------
    Bailey and Lopez de Prado (2014), as in `deflated_sharpe`.
    """
    if trials < 2:
        return 0.0
    highest, near = ndtri(1 - 1 / trials), ndtri(1 - 1 / (trials * math.e))
    return math.sqrt(sharpe_variance) * float((1 - _EULER) * highest + _EULER * near)


def probabilistic_sharpe(moments: Moments, threshold: float) -> float | None:
    """Compute the probability that the true Sharpe ratio by session is above a threshold.

    Parameters
    ----------
    moments : Moments
        Of returns by session.
    threshold : float
        Sharpe ratio by session.

    Returns
    -------
    float or None
        From 0 to 1; None where the standard error is undefined.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2012). The Sharpe ratio efficient frontier. Journal of
    Risk 15, 3-44.
    """
    ratio, skewness, kurtosis, sessions = moments
    spread = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    if not spread > 0:
        return None
    return float(ndtr((ratio - threshold) * math.sqrt(sessions - 1) / math.sqrt(spread)))


def equity(returns: Array) -> Array:
    """Compound returns, (sessions,), to the worth of 1, (sessions + 1,), the start included."""
    return np.concatenate([[1.0], np.cumprod(1 + returns)])


def performance(returns: Array, sessions: float | None) -> dict[str, float | None]:
    """Compute the performance of returns by session.

    Parameters
    ----------
    returns : array, shape (sessions,)
        Simple returns; no NaN.
    sessions : float, optional
        Sessions of a year, as from `sessions_a_year`; None: too few dates to annualise.

    Returns
    -------
    dict of str to float or None
        ``total_return``, ``annual_return`` (compounded), ``volatility`` (annual), ``sharpe``
        (annual), ``max_drawdown`` (share of the highest worth before). None where undefined, as
        are the annual ones without sessions of a year.
    """
    worth = equity(returns)
    end = float(worth[-1])
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else None
    return {
        "total_return": end - 1,
        "annual_return": end ** (sessions / len(returns)) - 1 if sessions and end > 0 else None,
        "volatility": annual(deviation, sessions),
        "sharpe": annual(sharpe(returns), sessions),
        "max_drawdown": float((1 - worth / np.maximum.accumulate(worth)).max()),
    }
