"""The stand-in for Yahoo, asked by the real yfinance."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from standin import Standin, standin_bars

# yfinance 1.7 still sorts in place, which pandas 3.1 warns of.
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
COLUMNS = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]


@pytest.fixture(autouse=True)
def yfinance(yahoo: Standin, tmp_path: Path) -> None:
    from standin.client import fresh_yfinance

    fresh_yfinance(tmp_path / "yfinance")


def history(symbol: str, start: str = "2024-01-01", end: str = "2024-06-29", **options: Any):
    import yfinance as yf

    return yf.Ticker(symbol).history(
        start=start, end=end, auto_adjust=False, actions=True, **options
    )


def as_bars(frame: pd.DataFrame) -> pd.DataFrame:
    bars = frame[COLUMNS].set_axis([c.lower().replace(" ", "_") for c in COLUMNS], axis=1)
    dates = pd.DatetimeIndex(frame.index.date).as_unit("s")
    return bars.astype(float).set_axis(dates.rename("date")).reset_index()


@pytest.mark.parametrize(
    ("calendar", "where"),
    [("XNYS", {}), ("24/7", {"timezone": "UTC", "instrument": "CRYPTOCURRENCY"})],
)
def test_yfinance_gets_the_bars_put_in(yahoo: Standin, calendar: str, where: Any) -> None:
    bars = standin_bars(60, calendar=calendar)
    yahoo.add("BTC-USD", bars, **where)
    pd.testing.assert_frame_equal(as_bars(history("BTC-USD")), bars)
    assert [r.kind for r in yahoo.requests] == ["cookie", "crumb", "timezone", "bars"]
    history("BTC-USD")
    assert [r.kind for r in yahoo.requests[4:]] == []  # a past range: from its lru cache
