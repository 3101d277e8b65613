"""Source of the embedded snapshot: real daily bars of five US companies, 2000 to 2013."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from sources.base import SNAPSHOT_BARS, FetchedBars, select_bars, summarise_bars
from stockpred.bars.parse import parse_bars
from stockpred.bars.schema import BarsInfo

FILE = "data/us5_daily.parquet"
CONVENTION = "split-adjusted prices and volume; adj_close also dividend-adjusted; as of 2013-03-01"
CALENDAR = "XNYS"


class SnapshotSource:
    """Read the Parquet file shipped with the project (data/PROVENANCE.md).

    Parameters
    ----------
    root : Path
        Folder of the project.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / FILE

    def digest(
        self,
        symbols: Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> str:
        """Return the hex sha256 of the file's bytes, whatever is requested of it.

        Raises
        ------
        ParameterError, DataError
            As `read`.
        """
        if (symbols, start, end) != (None, None, None):  # 30 ms of CPU
            self.read(symbols, start, end)
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    def read(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> FetchedBars:
        """Read bars of some symbols and dates; see `Source.read`."""
        raw = pq.ParquetFile(self._path).read().to_pandas(date_as_object=False)
        bars, notes = parse_bars(raw, SNAPSHOT_BARS)
        bars = select_bars(bars, symbols, start, end, SNAPSHOT_BARS)
        extent = summarise_bars(bars)
        info = BarsInfo("snapshot", CONVENTION, dict.fromkeys(extent["symbols"], CALENDAR))
        return FetchedBars(bars, info, {"source": "snapshot", **notes, **extent})

    def partial_bars(self) -> None:
        """Return None: a file is read whole or not at all."""
