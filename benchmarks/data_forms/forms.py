"""Files of bars in the forms that people have them, made from the embedded bars."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stockpred.bars.schema import NUMBERS
from stockpred.columns import ADJ_CLOSE, CLOSE, DATE, SYMBOL
from tests.support.paths import ROOT

SESSIONS = 300  # of each symbol: enough for the look-back of all features
SYMBOLS = ("AAPL", "IBM")
YAHOO = {
    DATE: "Date",
    "open": "Open",
    "high": "High",
    "low": "Low",
    CLOSE: "Close",
    ADJ_CLOSE: "Adj Close",
    "volume": "Volume",
}
FILE = "bars.csv"

Maker = Callable[[Path, pd.DataFrame], str]  # folder, bars -> source relative to the folder


def embedded_bars() -> pd.DataFrame:
    """Return the last `SESSIONS` embedded bars of `SYMBOLS`; dates are text."""
    bars = pq.read_table(ROOT / "data" / "us5_daily.parquet").to_pandas()
    bars = bars[bars[SYMBOL].isin(SYMBOLS)].groupby(SYMBOL).tail(SESSIONS)
    return bars.assign(date=bars[DATE].astype(str)).reset_index(drop=True)


def _csv(change: Callable[[pd.DataFrame], pd.DataFrame], **options: object) -> Maker:
    def make(folder: Path, bars: pd.DataFrame) -> str:
        change(bars).to_csv(folder / FILE, **{"index": False, **options})  # type: ignore[call-overload]
        return FILE

    return make


def _text(change: Callable[[str], str], encoding: str = "utf-8") -> Maker:
    def make(folder: Path, bars: pd.DataFrame) -> str:
        (folder / FILE).write_bytes(change(bars.to_csv(index=False)).encode(encoding))
        return FILE

    return make


def _parquet(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Maker:
    def make(folder: Path, bars: pd.DataFrame) -> str:
        change(bars.assign(date=pd.to_datetime(bars[DATE]))).to_parquet(folder / "bars.parquet")
        return "bars.parquet"

    return make


def _arrow(change: Callable[[pa.Table], pa.Table]) -> Maker:
    def make(folder: Path, bars: pd.DataFrame) -> str:
        pq.write_table(change(pa.Table.from_pandas(bars)), folder / "bars.parquet")
        return "bars.parquet"

    return make


def _folder(ending: str, source: str) -> Maker:
    def make(folder: Path, bars: pd.DataFrame) -> str:
        (folder / "bars").mkdir()
        for symbol, rows in bars.groupby(SYMBOL):
            table = rows.drop(columns=SYMBOL).rename(columns=YAHOO)
            table.to_csv(folder / "bars" / f"{symbol}{ending}", index=False)
        return source

    return make


def _zip(folder: Path, bars: pd.DataFrame) -> str:
    _folder(".csv", "")(folder, bars)
    with zipfile.ZipFile(folder / "bars.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "bars").iterdir()):
            archive.write(path, path.name)
    return "bars.zip"


def _wide(folder: Path, bars: pd.DataFrame) -> str:
    table = bars.rename(columns=YAHOO).pivot(index="Date", columns=SYMBOL)
    table.columns.names = ["Price", "Ticker"]
    table.to_csv(folder / FILE)
    return FILE


def _offsets(bars: pd.DataFrame) -> pd.DataFrame:
    local = pd.to_datetime(bars[DATE]).dt.tz_localize("America/New_York")
    return bars.assign(date=local.map(str))


def _metastock(bars: pd.DataFrame) -> pd.DataFrame:
    names = {SYMBOL: "<TICKER>", DATE: "<DATE>", "volume": "<VOL>", ADJ_CLOSE: "<OPENINT>"}
    names |= {name: f"<{name.upper()}>" for name in ("open", "high", "low", CLOSE)}
    table = bars.assign(date=bars[DATE].str.replace("-", ""), adj_close=0)
    table = table.rename(columns=names)
    table.insert(1, "<PER>", "D")
    table.insert(3, "<TIME>", "000000")
    return table


def _day_first(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(date=bars[DATE].str.replace(r"(\d+)-(\d+)-(\d+)", r"\3/\2/\1", regex=True))


def _first_days(bars: pd.DataFrame) -> pd.DataFrame:
    return _day_first(bars[bars[DATE].str[-2:] <= "12"])


def _overlap(bars: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([bars, bars.groupby(SYMBOL).tail(20)])


def _conflict(bars: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([bars, bars.groupby(SYMBOL).tail(2).assign(volume=1)])


def _intraday(bars: pd.DataFrame) -> pd.DataFrame:
    parts = [bars.assign(date=bars[DATE] + time) for time in (" 09:30:00", " 10:00:00")]
    return pd.concat(parts)


def _renamed(**names: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda bars: bars.rename(columns=names)


def _with_spelling(bars: pd.DataFrame) -> pd.DataFrame:
    spelled = np.where(bars.index % 2, bars[SYMBOL], bars[SYMBOL].str.title())
    return bars.assign(symbol=spelled)


def _with_actions(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(Dividends=0, **{"Stock Splits": 0})


def _whole_prices(bars: pd.DataFrame) -> pd.DataFrame:
    """Leave no decimal point that would show what the commas of the volume separate."""
    return (
        bars.round(dict.fromkeys(NUMBERS, 0))
        .astype(dict.fromkeys(NUMBERS, int))
        .assign(volume="1,000")
    )


def _with_pair(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(symbol=bars[SYMBOL].replace("IBM", "BTC/USDT"))


FORMS: dict[str, Maker] = {
    "plain": _csv(lambda bars: bars),
    "`adjusted_close`": _csv(_renamed(adj_close="adjusted_close")),
    "`Adj. Close**`, `Ticker`": _csv(_renamed(adj_close="Adj. Close**", symbol="Ticker")),
    "an unknown second price": _csv(_renamed(adj_close="settled")),
    "`Dividends`, `Stock Splits`": _csv(_with_actions),
    "no `adj_close`": _csv(lambda bars: bars.drop(columns=ADJ_CLOSE)),
    "an empty `adj_close`": _csv(lambda bars: bars.assign(adj_close="")),
    "`close` twice": _text(
        lambda text: text.replace("\n", ",1\n").replace("volume,1\n", "volume,close\n", 1)
    ),
    "`close` twice, Parquet": _arrow(lambda table: table.append_column(CLOSE, table[CLOSE])),
    "two spellings of a symbol": _csv(_with_spelling),
    "a symbol `BTC/USDT`": _csv(_with_pair),
    "months": _csv(lambda bars: bars.assign(date=bars[DATE].str[:7])),
    "offsets that change": _csv(_offsets),
    "day first": _csv(_day_first),
    "day first, in doubt": _csv(_first_days),
    "intraday": _csv(_intraday),
    "seconds since 1970": _csv(
        lambda bars: bars.assign(date=pd.to_datetime(bars[DATE]).astype("int64") // 10**6)
    ),
    "MetaStock": _csv(_metastock),
    "Parquet, index `date`": _parquet(lambda bars: bars.set_index(DATE)),
    "Parquet, index `symbol`, `date`": _parquet(lambda bars: bars.set_index([SYMBOL, DATE])),
    "Parquet, index without a name": _parquet(lambda bars: bars.set_index(DATE).rename_axis(None)),
    "Parquet, damaged metadata": _arrow(lambda t: t.replace_schema_metadata({"pandas": "{"})),
    "`AAPL.csv`, `IBM.csv`, `source=bars/`": _folder(".csv", "bars/"),
    "`source=bars/*.csv`": _folder(".csv", "bars/*.csv"),
    "`source=bars/AAPL.csv`": _folder(".csv", "bars/AAPL.csv"),
    "gz": _folder(".csv.gz", "bars/"),
    "zip": _zip,
    "two header rows": _wide,
    "cp1252": _text(lambda text: text.replace("IBM", "IBMé"), "cp1252"),
    "GBK": _text(lambda text: text.replace("IBM", "中国"), "gbk"),
    "UTF-16": _text(str, "utf-16"),
    "semicolons, decimal commas": _csv(lambda bars: bars, sep=";", decimal=","),
    "tabs": _csv(lambda bars: bars, sep="\t"),
    "separators of thousands": _csv(lambda bars: bars.assign(volume="1,000")),
    "separators of thousands, in doubt": _csv(_whole_prices),
    "a comma at each line's end": _text(lambda text: text.replace("\n", ",\n")),
    "rows longer than the header": _text(lambda text: text.replace("\nIBM,", "\nIBM,x,")),
    "blank lines at the end": _text(lambda text: text + "\n\n"),
    "overlapping exports": _csv(_overlap),
    "overlapping exports that differ": _csv(_conflict),
    "no header": _csv(lambda bars: bars, header=False),
    "HTML": _text(lambda text: f"<!DOCTYPE html><html>{text}</html>"),
    "an empty file": _text(lambda text: ""),
}
