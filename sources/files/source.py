"""Source of files of bars: Parquet or text, one or several, packed or not."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from sources.base import FetchedBars, select_bars, summarise_bars
from sources.files.archive import GIVE_BARS, unpack_files
from sources.files.limits import Budget
from sources.files.location import SourceFile, fetch_files
from sources.files.parquet import MAGIC, read_parquet
from sources.files.text import read_text
from stockpred.bars.parse import join_tables, parse_table
from stockpred.bars.schema import BarsInfo
from stockpred.errors import DataError

CONVENTION = "as in the file"
SHOWN_FILES = 5


class FileSource:
    """Read files of bars, once; their bytes are kept in memory with the source.

    Parameters
    ----------
    uri : str
        As of `location.fetch_files`.
    root : Path
        Folder of the project.
    """

    def __init__(self, uri: str, root: Path) -> None:
        self._uri = uri
        self._root = root

    def digest(
        self,
        symbols: Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> str:
        """Return the hex sha256 over names and bytes of the files; the arguments do not matter.

        Raises
        ------
        ParameterError
            As `location.fetch_files`.
        DataError
            Every file is empty.
        """
        total = hashlib.sha256()
        for file in self._files:
            total.update(f"{file.name}\0{hashlib.sha256(file.content).hexdigest()}\n".encode())
        return total.hexdigest()

    def read(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> FetchedBars:
        """Read bars of some symbols and dates.

        Parameters
        ----------
        symbols, start, end
            As of `Source.read`.

        Returns
        -------
        FetchedBars
            Their report has the notes on how the files were read.

        Raises
        ------
        ParameterError
            As `digest`, or a symbol or a range that the files do not have.
        DataError
            A file is neither Parquet nor CSV, is damaged, or a cell cannot be read: the message
            names the file, row and column.
        """
        budget = Budget(self._uri)
        skipped = list(self._skipped)
        tables = [
            table
            for file in self._files
            for member in unpack_files(file, budget, skipped)
            for table in parse_table(
                read_parquet(member, budget)
                if member.content.startswith(MAGIC)
                else read_text(member)
            )
        ]
        if not tables:
            raise self._empty()
        bars, report = join_tables(tables)
        if skipped:
            more = f" and {len(skipped) - SHOWN_FILES} more" if len(skipped) > SHOWN_FILES else ""
            report["notes"].append(f"files left out: {', '.join(skipped[:SHOWN_FILES])}{more}")
        bars = select_bars(bars, symbols, start, end, self._uri)
        extent = summarise_bars(bars)
        info = BarsInfo(self._uri, CONVENTION, dict.fromkeys(extent["symbols"], "union"))
        return FetchedBars(bars, info, {"source": self._uri, **report, **extent})

    def partial_bars(self) -> None:
        """Return None: files are read whole or not at all."""

    def _empty(self) -> DataError:
        return DataError(
            f"source={self._uri!r}", expected="bars", got="an empty file", fix=GIVE_BARS
        )

    @cached_property
    def _fetched(self) -> tuple[list[SourceFile], list[str]]:
        files, skipped = fetch_files(self._uri, self._root)
        kept = [file for file in files if file.content]
        if not kept:
            raise self._empty()
        return kept, skipped + [f"{file.name} (empty)" for file in files if not file.content]

    @property
    def _files(self) -> list[SourceFile]:
        return self._fetched[0]

    @property
    def _skipped(self) -> list[str]:
        return self._fetched[1]
