"""Sources of bars: the embedded snapshot, files, Yahoo."""

import datetime as dt
from pathlib import Path
from typing import Any

from sources.base import FetchedBars, Source
from sources.snapshot import SnapshotSource
from sources.yahoo.merge import StoredBars
from stockpred.bars.origins import SNAPSHOT, YAHOO

__all__ = ["SNAPSHOT", "YAHOO", "FetchedBars", "Source", "StoredBars", "open_source"]


def open_source(
    source: str,
    root: Path,
    as_of: dt.datetime | None = None,
    **yahoo: Any,  # noqa: ANN401 - the keywords of YahooSource, each of its own type
) -> Source:
    """Open the source that the parameter ``source`` names.

    Parameters
    ----------
    source : str
        ``snapshot``, ``yahoo``, or a path (relative to `root`) or URI of Parquet or CSV files: one,
        a folder, or a pattern such as ``folder/*.csv``.
    root : Path
        Folder of the project.
    as_of : datetime, optional
        Instant with a time zone, required by yahoo: it returns sessions closed by then.
    **yahoo
        Further keywords of `YahooSource`: required for reading, not for its digest.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        ``yahoo`` without `as_of`.
    """
    if source == SNAPSHOT:
        return SnapshotSource(root)
    if source == YAHOO:
        if as_of is None:
            raise ValueError("yahoo needs as_of")
        # A process reads one source: the modules of the others only cost it time.
        from sources.yahoo.source import YahooSource  # noqa: PLC0415

        return YahooSource(as_of, **yahoo)
    from sources.files import FileSource  # noqa: PLC0415 - as above

    return FileSource(source, root)
