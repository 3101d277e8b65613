"""Backtest: returns by session of trading on forecasts, after costs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates, Mask, Rows
from stockpred.bars.checks.limits import GAP_DAYS
from stockpred.columns import DAILY_RETURN, DATE, FORWARD_RETURN, PROBABILITY_UP, SYMBOL
from stockpred.errors import DataError
from stockpred.evaluation.sharpe import DAYS_A_YEAR, elapsed_years, sharpe

GROSS, NET, TURNOVER, EXPOSURE, BORROW = "gross", "net", "turnover", "exposure", "borrow"
ALWAYS_LONG = -np.inf  # a threshold below every probability
_QUANTILES = np.arange(0.05, 0.96, 0.05)


@dataclass(frozen=True)
class TradingCosts:
    """Trading costs, and whether short positions are allowed.

    Attributes
    ----------
    cost_bps : float
        Cost of each side of a trade, in basis points of its notional.
    short : bool
        Whether a low probability is sold short; else the capital stays in cash.
    borrow_bps : float
        Cost of borrowing, in basis points of the short notional a year. A session that a position
        is open costs the time since the symbol's session before, the session of its entry included:
        on a Monday three days, so that every session of a year together costs a year.
    """

    cost_bps: float = 5.0
    short: bool = False
    borrow_bps: float = 50.0

    @property
    def side_cost(self) -> float:
        """Cost of each side, as a share of its notional."""
        return self.cost_bps * 1e-4

    @property
    def borrow_cost(self) -> float:
        """Cost of borrowing for a year, as a share of the short notional."""
        return self.borrow_bps * 1e-4


def positions(probability: Array, threshold: float, short: bool = False) -> Array:
    """Turn probabilities into positions.

    Parameters
    ----------
    probability : array, shape (rows,)
        Probability of an up; NaN gives no position.
    threshold : float
        Long above it; short, where allowed, below ``min(threshold, 1 - threshold)``.
    short : bool
        Whether short positions are allowed.

    Returns
    -------
    array, shape (rows,)
        1 long, 0 flat, -1 short.

    Examples
    --------
    >>> positions(np.array([0.40, 0.48, 0.55]), 0.52, short=True)
    array([-1.,  0.,  1.])
    """
    is_long = probability > threshold
    is_short = short & (probability < min(threshold, 1 - threshold))
    return is_long.astype(np.float64) - is_short


def strategy_returns(
    predictions: pd.DataFrame, threshold: float, horizon: int, costs: TradingCosts
) -> pd.DataFrame:
    """Compute the returns by session of trading on forecasts.

    A forecast made after the close of a session is entered at the next open and left at the close
    `horizon` sessions on, as for its label. The capital is shared equally over the symbols with a
    row on the date or at most `GAP_DAYS` before it, and over `horizon` tranches, since so many
    positions overlap; the share of a symbol without a signal stays in cash, as does that of a
    stock on the weekends of a coin. Open positions are marked to market at each close, by
    `daily_return`. Every position is opened and closed, none is netted against the next: one ends
    at a close, the next begins at an open.

    Parameters
    ----------
    predictions : DataFrame
        symbol, date, probability_up, forward_return and, for a horizon above 1, daily_return (log
        returns). A forecast whose return is NaN, or whose exit is after the symbol's last row, is
        not entered; a NaN in daily_return counts as 0.
    threshold : float
        See `positions`.
    horizon : int
        Sessions from entry to exit.
    costs : TradingCosts
        Costs and whether short positions are allowed.

    Returns
    -------
    DataFrame
        Index: the dates from the second on. gross, borrow, turnover (traded notional), exposure
        (open notional) and net, all as shares of the capital at that time.

    Raises
    ------
    DataError
        A horizon above 1 and no daily_return at all.
    """
    if horizon > 1:
        _check_daily_returns(predictions)
    rows = predictions.sort_values([SYMBOL, DATE], kind="stable")
    dates, day = np.unique(rows[DATE].to_numpy(), return_inverse=True)
    log_return = rows[FORWARD_RETURN].to_numpy(np.float64)
    position = positions(rows[PROBABILITY_UP].to_numpy(), threshold, costs.short)
    entered = np.flatnonzero(
        (position != 0) & np.isfinite(log_return) & _has_exit(rows[SYMBOL], horizon)
    )
    share = position[entered] / (_symbols_on(rows, dates)[day[entered]] * horizon)
    notional = np.abs(share)
    # Sums of daily log returns: they value an open position at a close, back from its exit.
    cumulative = np.zeros(len(rows))
    if horizon > 1:
        cumulative = np.cumsum(np.nan_to_num(rows[DAILY_RETURN].to_numpy(np.float64)))
    total: dict[str, Array] = {
        name: np.zeros(len(dates)) for name in (GROSS, BORROW, TURNOVER, EXPOSURE)
    }

    def book(name: str, session: Rows, amount: Array) -> None:
        total[name] += np.bincount(session, amount, len(dates))

    value = np.ones(len(entered))
    for age in range(1, horizon + 1):
        session = day[entered + age]
        years = elapsed_years(dates[day[entered + age - 1]], dates[session])
        before = value
        value = np.exp(
            log_return[entered] - (cumulative[entered + horizon] - cumulative[entered + age])
        )
        book(GROSS, session, share * (value - before))
        borrowed = np.where(share < 0, notional, 0.0) * before
        book(BORROW, session, borrowed * costs.borrow_cost * years)
        book(EXPOSURE, session, notional * before)
        if age == 1:
            book(TURNOVER, session, notional)
        if age == horizon:
            book(TURNOVER, session, notional * value)
    frame = pd.DataFrame(total, index=pd.Index(dates, name=DATE)).iloc[1:]
    frame[NET] = frame[GROSS] - frame[BORROW] - costs.side_cost * frame[TURNOVER]
    return frame


def _check_daily_returns(predictions: pd.DataFrame) -> None:
    if len(predictions) < 2:
        return
    if DAILY_RETURN not in predictions or predictions[DAILY_RETURN].isna().all():
        raise DataError(
            f"predictions: column {DAILY_RETURN!r}",
            expected="daily returns, to value open positions",
            got="no value",
            fix="give predictions made on a features.parquet",
        )


def _symbols_on(rows: pd.DataFrame, dates: Dates) -> Rows:
    """Count the symbols that have a row on each date or at most `GAP_DAYS` before it.

    A count of the rows of a date would give the coins of a portfolio all of its capital on
    weekends, while the positions in stocks are open. A symbol whose rows end keeps its share for
    these days: on the date itself nobody knows that no row will follow.
    """
    begun = rows[DATE].to_numpy()
    following = rows.groupby(SYMBOL, observed=True)[DATE].shift(-1).to_numpy()
    ended = np.fmin(following, begun + np.timedelta64(GAP_DAYS + 1, "D"))
    return np.searchsorted(np.sort(begun), dates, side="right") - np.searchsorted(
        np.sort(ended), dates, side="right"
    )


def _has_exit(symbols: pd.Series, horizon: int) -> Mask:
    """Mark rows, sorted by symbol, with at least `horizon` more rows of their symbol after them."""
    rows_after = symbols.groupby(symbols.to_numpy(), observed=True).cumcount(ascending=False)
    return (rows_after >= horizon).to_numpy()


def buy_and_hold(predictions: pd.DataFrame, costs: TradingCosts) -> pd.DataFrame:
    """Compute the returns by session of holding all symbols.

    They are bought in equal parts at the close of the first date and sold at the close of the last.
    A symbol's part is in cash where it has no daily_return: before its first row, and where rows
    are missing.

    Parameters
    ----------
    predictions : DataFrame
        symbol, date, daily_return (log; NaN: in cash).
    costs : TradingCosts
        Costs of the two trades.

    Returns
    -------
    DataFrame
        As of `strategy_returns`.

    Raises
    ------
    DataError
        No daily_return at all.
    """
    _check_daily_returns(predictions)
    daily = predictions.pivot(index=DATE, columns=SYMBOL, values=DAILY_RETURN).fillna(0.0)
    logs = daily.to_numpy(np.float64)[1:]
    value = np.exp(np.vstack([np.zeros(logs.shape[1]), np.cumsum(logs, axis=0)])).mean(axis=1)
    frame = pd.DataFrame({GROSS: value[1:] / value[:-1] - 1}, index=daily.index[1:])
    bought, sold = np.zeros(len(frame)), np.zeros(len(frame))
    bought[:1], sold[-1:] = 1.0, 1.0
    frame[BORROW], frame[TURNOVER], frame[EXPOSURE] = 0.0, bought + sold, 1.0
    frame[NET] = frame[GROSS] - costs.side_cost * frame[TURNOVER]
    return frame


def _years_a_session(rows: pd.DataFrame) -> pd.Series:
    """Return the mean time between the rows of each symbol, in years, without long gaps.

    No position spans a gap of more than `GAP_DAYS`. 0 where nothing is left.
    """
    dates = rows.sort_values([SYMBOL, DATE], kind="stable").groupby(SYMBOL, observed=True)[DATE]
    days = dates.diff().dt.days
    return days.where(days <= GAP_DAYS).groupby(rows[SYMBOL]).mean().fillna(0.0) / DAYS_A_YEAR


def sharpe_on_folds(predictions: pd.DataFrame, horizon: int, costs: TradingCosts) -> float | None:
    """Compute the net Sharpe ratio of predictions on the folds, at the threshold chosen on them.

    Parameters
    ----------
    predictions : DataFrame
        As for `strategy_returns`, of one candidate.
    horizon : int
        Sessions from entry to exit.
    costs : TradingCosts
        Costs and whether short positions are allowed.

    Returns
    -------
    float or None
        By session, not annualised; None where undefined.
    """
    threshold = choose_threshold(predictions, costs, horizon)
    return sharpe(strategy_returns(predictions, threshold, horizon, costs)[NET].to_numpy())


def choose_threshold(predictions: pd.DataFrame, costs: TradingCosts, horizon: int) -> float:
    """Choose the threshold with the highest profit before the holdout, net of costs.

    Candidates are one half and the 5 % to 95 % quantiles of the probabilities, in steps of 5 %: the
    highest still trades one forecast in twenty, enough to judge.

    Parameters
    ----------
    predictions : DataFrame
        symbol, date, probability_up and forward_return (log) of one candidate; rows without a
        return (NaN) do not count.
    costs : TradingCosts
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    float
        On a tie the lowest; one half where there is no row.
    """
    rows = predictions[predictions[FORWARD_RETURN].notna()]
    if rows.empty:
        return 0.5
    probability = rows[PROBABILITY_UP].to_numpy()
    value = np.exp(rows[FORWARD_RETURN].to_numpy(np.float64))
    share = 1 / _symbols_on(rows, rows[DATE].to_numpy())
    years = horizon * rows[SYMBOL].map(_years_a_session(rows)).to_numpy(np.float64)
    thresholds = np.unique([0.5, *np.quantile(probability, _QUANTILES)])

    def net_profit(threshold: float) -> float:
        position = positions(probability, threshold, costs.short)
        cost = (
            np.abs(position) * costs.side_cost * (1 + value)
            + (position < 0) * costs.borrow_cost * years
        )
        return float(((position * (value - 1) - cost) * share).sum())

    return float(max(thresholds, key=net_profit))
