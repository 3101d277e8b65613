"""Generated markets with known truth: noise, planted signals, real bars with flipped moves.

A session's move is drawn from Student's t, scaled by volatility that comes in clusters, of the
market and of the symbol; symbols of one date share a factor. A signal changes how often the move is
up, not how large it is, so that the probability of an up session, given all the past, is known
exactly: constant where there is no signal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import (
    ADJ_CLOSE,
    CLOSE,
    DATE,
    HIGH,
    KEY,
    LOW,
    OPEN,
    PROBABILITY_UP,
    SYMBOL,
    VOLUME,
)

INTRADAY, OVERNIGHT = 0.011, 0.006  # typical size of a move, log
COMMON = 0.35  # correlation of two symbols' moves on one date, before the tails
TAIL = 5  # degrees of freedom of Student's t
DIVIDEND, DIVIDEND_EVERY = 0.005, 63
LOOKBACK = 20  # sessions that a signal may look at, the current one included
BUSY = 1.25  # traded value over its mean from which the threshold signal acts


@dataclass(frozen=True)
class Past:
    """The past that a signal may use after a session's close.

    Attributes
    ----------
    daily : array, shape (LOOKBACK, symbols)
        Log returns, dividends included, the last row that of the session.
    up : array of bool, shape (symbols,)
        Whether the session closed above its open.
    value : array, shape (LOOKBACK, symbols)
        Traded value.
    """

    daily: Array
    up: np.ndarray[Any, np.dtype[np.bool_]]
    value: Array


def _reversal(past: Past) -> Array:
    """Reverse the session's return, in deviations of the last 20, as `zscore_20`: linear."""
    return -past.daily[-1] / (past.daily.std(axis=0) + 0.01)


def _busy(past: Past) -> Array:
    """Continue the session's direction after heavy trade, else nothing: a threshold."""
    heavy = past.value[-1] > BUSY * past.value.mean(axis=0)
    return np.where(heavy, np.where(past.up, 1.0, -1.0), 0.0)


SIGNALS: Mapping[str, Callable[[Past], Array]] = {"linear": _reversal, "threshold": _busy}


@dataclass(frozen=True)
class Market:
    """Generated bars and the truth about them.

    Attributes
    ----------
    bars : DataFrame
        As `stockpred.bars.schema` has them.
    truth : DataFrame
        symbol, date, probability_up: of the session after `date`, given all bars up to `date`. One
        row a bar but for the last of each symbol.
    """

    bars: pd.DataFrame
    truth: pd.DataFrame = field(repr=False)


def generate_market(  # noqa: PLR0913 - the parameters of one simulation
    symbols: int,
    sessions: int,
    seed: int,
    signal: str | None = None,
    strength: float = 0.0,
    *,
    up_share: float = 0.5,
) -> Market:
    """Generate a market.

    Parameters
    ----------
    symbols, sessions : int
    seed : int
    signal : str, optional
        Name in `SIGNALS`; None: each sign is independent of the past.
    strength : float
        Log odds of an up session for each unit of the signal.
    up_share : float
        Share of up sessions where the signal is silent, the same for all symbols.

    Returns
    -------
    Market
    """
    rng = np.random.default_rng(seed)
    shape = (sessions, symbols)
    volatility = np.exp(_clusters(rng, sessions, 1, 0.35) + _clusters(rng, *shape, 0.25))
    size = volatility * np.exp(0.25 * rng.standard_normal(symbols))
    overnight = OVERNIGHT * size * _move(_ranks(rng, shape), np.full(shape, 0.5))
    value = 1e8 * np.exp(0.5 * np.log(volatility) + _clusters(rng, *shape, 0.3, 0.7))
    value *= np.exp(rng.standard_normal(symbols))
    rank = _ranks(rng, shape)
    probability = np.full(shape, up_share)
    if signal:
        score, base = SIGNALS[signal], np.log(up_share / (1 - up_share))
        daily = np.empty(shape)
        for t in range(sessions):
            if t >= LOOKBACK:
                up = rank[t - 1] < probability[t - 1]
                past = Past(daily[t - LOOKBACK : t], up, value[t - LOOKBACK : t])
                probability[t] = 1 / (1 + np.exp(-base - strength * score(past)))
            daily[t] = overnight[t] + INTRADAY * size[t] * _move(rank[t], probability[t])
    intraday = INTRADAY * size * _move(rank, probability)
    wicks = INTRADAY * size * np.abs(rng.standard_normal((2, *shape))) / 3
    bars = _bars(overnight, intraday, wicks, value, 50 * np.exp(rng.standard_normal(symbols)))
    truth = bars[list(KEY)].copy()
    truth[PROBABILITY_UP] = np.append(probability[1:], np.full((1, symbols), np.nan), 0).T.ravel()
    return Market(bars, truth.dropna(ignore_index=True))


def _clusters(
    rng: np.random.Generator, sessions: int, columns: int, spread: float, memory: float = 0.97
) -> Array:
    """Draw first-order autoregressions of deviation `spread`, shape (sessions, columns)."""
    values = spread * rng.standard_normal((sessions, columns))
    for t in range(1, sessions):
        values[t] = memory * values[t - 1] + np.sqrt(1 - memory**2) * values[t]
    return values


def _ranks(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Draw uniform ranks, those of one date correlated through a common factor."""
    from scipy.special import ndtr  # noqa: PLC0415 - half a second to import

    common, own = rng.standard_normal((shape[0], 1)), rng.standard_normal(shape)
    return np.asarray(ndtr(np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * own))


def _move(rank: Array, probability: Array) -> Array:
    """Compute moves of unit deviation, up where `rank` is below `probability`, Student's in size.

    The lowest ranks are the largest moves up, the highest ranks the largest down.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - half a second to import

    up = rank < probability
    tail = np.where(up, rank / probability, (1 - rank) / (1 - probability)) / 2
    size = -stdtrit(TAIL, tail) / np.sqrt(TAIL / (TAIL - 2))
    return np.where(up, size, -size)


def _bars(
    overnight: Array, intraday: Array, wicks: Array, value: Array, first: Array
) -> pd.DataFrame:
    """Make bars of log moves, all of shape (sessions, symbols); `first` (symbols,) are prices."""
    sessions, symbols = overnight.shape
    close = np.log(first) + np.cumsum(overnight + intraday, axis=0)
    open_ = close - intraday
    # Before a dividend the plain price is above the adjusted one.
    paid = (np.arange(sessions)[::-1] // DIVIDEND_EVERY)[:, None] * DIVIDEND
    columns = {
        OPEN: np.exp(open_ + paid),
        HIGH: np.exp(np.maximum(open_, close) + wicks[0] + paid),
        LOW: np.exp(np.minimum(open_, close) - wicks[1] + paid),
        CLOSE: np.exp(close + paid),
        ADJ_CLOSE: np.exp(close),
        VOLUME: value / np.exp(close + paid),
    }
    day = pd.bdate_range("2005-01-03", periods=sessions).to_numpy().astype("datetime64[s]")
    names = np.repeat([f"S{i:03d}" for i in range(symbols)], sessions)
    data = {SYMBOL: pd.Series(names, dtype="str"), DATE: np.tile(day, symbols)}
    return pd.DataFrame(data | {name: array.T.ravel() for name, array in columns.items()})


def flip_moves(bars: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Turn real bars into noise: mirror each date's moves by a coin common to all symbols.

    The size of every move, the likeness of symbols on a date, volumes and volatility stay; the sign
    of each overnight and intraday move becomes independent of the past. Highs and lows are mirrored
    about the open. Prices come adjusted (adj_close = close).
    """
    rng = np.random.default_rng(seed)
    dates, position = np.unique(bars[DATE].to_numpy(), return_inverse=True)
    coin = rng.choice([-1.0, 1.0], len(dates))[position]
    dividends = np.log(bars[ADJ_CLOSE].to_numpy() / bars[CLOSE].to_numpy())
    log_open, high, low, close = (
        np.log(bars[name].to_numpy()) + dividends for name in (OPEN, HIGH, LOW, CLOSE)
    )
    symbol = bars[SYMBOL].to_numpy()
    starts = np.append(True, symbol[1:] != symbol[:-1])
    overnight = np.where(starts, 0.0, log_open - np.roll(close, 1))
    intraday = close - log_open
    moves = pd.Series(coin * (overnight + intraday)).groupby(symbol).cumsum().to_numpy()
    first = log_open[np.maximum.accumulate(np.where(starts, np.arange(len(bars)), 0))]
    new_close = first + moves
    new_open = new_close - coin * intraday
    up, down = high - log_open, low - log_open
    return bars.assign(
        **{
            OPEN: np.exp(new_open),
            HIGH: np.exp(new_open + np.where(coin > 0, up, -down)),
            LOW: np.exp(new_open + np.where(coin > 0, down, -up)),
            CLOSE: np.exp(new_close),
            ADJ_CLOSE: np.exp(new_close),
        }
    )


def add_spread(
    bars: pd.DataFrame, half_spread: float, stale_share: float, seed: int
) -> pd.DataFrame:
    """Quote prices at bid or ask by chance, and copy some opens from the last close.

    A close at the ask falls back on average, and one at the bid rises: nothing that a trade could
    earn, since the next entry pays the spread. An open that is a copy of that close makes it a
    forecast of the label all the same.

    Parameters
    ----------
    bars : DataFrame
        As `stockpred.bars.schema` has them, in the order of symbols and dates.
    half_spread : float
        Distance of bid and ask from the price, log.
    stale_share : float
        Share of the sessions whose open is the last close.
    seed : int

    Returns
    -------
    DataFrame
        The same dates and volumes.
    """
    rng = np.random.default_rng(seed)
    sides = half_spread * rng.choice([-1.0, 1.0], (2, len(bars)))
    open_ = bars[OPEN].to_numpy() * np.exp(sides[0])
    close = bars[CLOSE].to_numpy() * np.exp(sides[1])
    symbol = bars[SYMBOL].to_numpy()
    has_last = np.append(False, symbol[1:] == symbol[:-1])
    is_stale = has_last & (rng.random(len(bars)) < stale_share)
    open_ = np.where(is_stale, np.roll(close, 1), open_)
    return bars.assign(
        **{
            OPEN: open_,
            HIGH: np.maximum.reduce([bars[HIGH].to_numpy(), open_, close]),
            LOW: np.minimum.reduce([bars[LOW].to_numpy(), open_, close]),
            CLOSE: close,
            ADJ_CLOSE: bars[ADJ_CLOSE].to_numpy() * np.exp(sides[1]),
        }
    )


def expected_auc(score: Array, probability: Array) -> float:
    """Compute the expected area under the ROC curve of a score, given the true probabilities.

    The share of (up, down) pairs that it puts in the right order, each row an up with its
    probability and a down with the rest; ties count half.
    """
    values, position = np.unique(score, return_inverse=True)
    ups = np.bincount(position, probability, len(values))
    downs = np.bincount(position, 1 - probability, len(values))
    below = np.cumsum(downs) - downs / 2
    return float(ups @ below / (ups.sum() * downs.sum()))


def best_auc(probability: Array) -> float:
    """Compute the expected AUC of the true probabilities, which no forecast can exceed."""
    return expected_auc(probability, probability)


@cache
def strength_for(signal: str, auc: float) -> float:
    """Find the strength at which the best possible AUC of a signal is `auc`, by simulation."""
    from scipy.optimize import brentq  # noqa: PLC0415 - half a second to import

    def miss(strength: float) -> float:
        truth = generate_market(20, 5000, 0, signal, strength).truth
        return best_auc(truth[PROBABILITY_UP].to_numpy()) - auc

    return float(brentq(miss, 0.0, 3.0, xtol=1e-4))
