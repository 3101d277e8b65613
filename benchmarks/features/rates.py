"""Rates of our arithmetic, TA-Lib and pandas on the same generated bars in memory."""

import resource
import statistics
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import talib

from pipeline.storage.parquet import read_table, write_groups
from steps.data.stored_bars import GROUP_ROWS
from stockpred.bars.bar_arrays import BarArrays, SymbolRuns
from stockpred.bars.schema import BarsInfo, from_arrow, to_arrow
from stockpred.features.table import compute_part, list_features

SETS, WINDOW = ("direction", "technical"), 14
ROUNDS = 5
IN_MEMORY = 25  # symbols of the comparison in memory


class Rates(NamedTuple):
    """Rows a second of user CPU on the same arrays, medians of some rounds."""

    columns: int
    arithmetic: float
    talib: float
    pandas: float


def sound_bars(symbols: int, sessions: int) -> Iterator[pa.Table]:
    """Generate sound bars, one table a symbol, the same in every call."""
    rng = np.random.default_rng(0)
    dates = pd.bdate_range("2014-01-01", periods=sessions, unit="s").to_numpy()
    for number in range(symbols):
        close = 50 * np.exp(np.cumsum(0.01 * rng.standard_t(4, sessions)))
        open_ = close * np.exp(0.005 * rng.standard_normal(sessions))
        spread = np.exp(0.004 * rng.random((2, sessions)))
        columns = {
            "date": dates,
            "open": open_,
            "high": np.maximum(open_, close) * spread[0],
            "low": np.minimum(open_, close) / spread[1],
            "close": close,
            "adj_close": close * np.linspace(0.8, 1, sessions),
            "volume": np.round(1e6 * rng.lognormal(0, 0.5, sessions)),
        }
        yield to_arrow(pd.DataFrame({"symbol": f"S{number:05d}", **columns}))


def write_bars(path: Path, symbols: int, sessions: int) -> int:
    """Write generated bars; return the number of rows."""
    calendars = {f"S{number:05d}": "union" for number in range(symbols)}
    info = BarsInfo("generated", "as generated", calendars)
    tables = sound_bars(symbols, sessions)
    return write_groups(path, tables, info.to_metadata, least_rows=GROUP_ROWS)


def of_talib(bars: BarArrays) -> list[np.ndarray]:
    """Compute a column of TA-Lib for each of ours, the nearest that there is."""
    open_, high, low, close = bars.open, bars.high, bars.low, bars.close
    adjusted, volume = bars.adj_close, bars.volume
    return [
        *(talib.ROC(close, k) for k in range(1, WINDOW + 1)),  # a column of `direction` each
        *(talib.ROC(adjusted, n) for n in (1, 2, 5, 10, 20, 60)),
        daily := talib.ROCP(adjusted, 1),  # overnight
        body := talib.BOP(open_, high, low, close),  # intraday
        talib.SMA(daily, 5),
        talib.SMA(body, 5),
        *(talib.STDDEV(daily, n) for n in (5, 20, 60)),
        talib.VAR(daily, 60),  # volatility_ratio
        talib.NATR(high, low, close, 20),  # parkinson_20
        talib.TRANGE(high, low, close),
        talib.ATR(high, low, close, 20),  # range_ratio
        talib.BOP(open_, high, low, close),
        talib.CCI(high, low, close, 20),  # zscore_20
        *(talib.SMA(close, n) for n in (5, 20, 60)),
        talib.BBANDS(close, 20)[0],
        *(talib.WILLR(high, low, close, n) for n in (14, 60)),
        talib.AROONOSC(high, low, 25),
        talib.RSI(close, 14),
        talib.SMA(body, 20),  # up_share_20
        talib.CORREL(high, low, 20),  # autocorrelation_20
        talib.LINEARREG(daily, 20),  # skew_20
        talib.SMA(volume, 20),
        talib.APO(volume, 5, 60),  # volume_trend
        talib.MFI(high, low, close, volume, 20),  # volume_balance
    ]


def of_pandas(frame: pd.DataFrame) -> Iterator[pd.Series]:
    """Compute a rolling window of pandas' groupby for each of our columns."""
    groups = frame.groupby("symbol", observed=True)
    names = ("open", "high", "low", "close", "volume")
    windows = [(n, w, how) for n, w, how in product(names, (5, 20, 60), ("mean", "std", "max"))]
    windows += [("low", 14, "min"), ("low", 60, "min")]
    return (getattr(groups[name].rolling(w), how)() for name, w, how in windows)


def seconds(work: Callable[[], object]) -> float:
    """Measure the user CPU of a call."""
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - began


def compare(bars: Path, rounds: int = ROUNDS) -> Rates:
    """Measure arithmetic, TA-Lib and pandas in turn on the same bars in memory."""
    table = read_table(bars).combine_chunks()
    runs, arrays, frame = (
        SymbolRuns.from_arrow(table),
        BarArrays.from_arrow(table),
        from_arrow(table),
    )
    each = [arrays.select(slice(*edges)) for edges in pairwise(runs.edges.tolist())]
    columns = len(list_features(SETS, WINDOW))
    assert columns == len(of_talib(each[0])) == len(list(of_pandas(frame.iloc[:100])))

    def fill_by_talib() -> None:
        out = np.empty((columns, len(frame)), np.float32)
        for one, (first, end) in zip(each, pairwise(runs.edges.tolist()), strict=True):
            for row, values in zip(out, of_talib(one), strict=True):
                row[first:end] = values

    def fill_by_pandas() -> None:
        out = np.empty((columns, len(frame)), np.float32)
        for row, values in zip(out, of_pandas(frame), strict=True):
            row[:] = values.to_numpy()

    work: dict[str, Callable[[], object]] = {
        "arithmetic": lambda: compute_part(runs, arrays, SETS, WINDOW, 1),
        "talib": fill_by_talib,
        "pandas": fill_by_pandas,
    }
    for call in work.values():  # memory that the allocator keeps
        call()
    times = [{name: seconds(call) for name, call in work.items()} for _ in range(rounds)]
    rates = {name: len(frame) / statistics.median(t[name] for t in times) for name in work}
    return Rates(columns, **rates)
