"""Where bars come from: the embedded snapshot, a file, or Yahoo."""

import datetime as dt
from pathlib import Path
from typing import Any

from sources.base import FetchedBars, Source
from sources.files import FileSource
from sources.snapshot import SnapshotSource
from sources.yahoo.merge import StoredBars
from sources.yahoo.source import YahooSource

__all__ = ["YAHOO", "FetchedBars", "Source", "StoredBars", "open_source"]

YAHOO = "yahoo"


def open_source(source: str, root: Path, as_of: dt.datetime | None = None, **yahoo: Any) -> Source:
    """The source that the parameter `source` names.

    Parameters
    ----------
    source : str
        ``snapshot``, ``yahoo``, or a path (relative to `root`) or URI of a Parquet or CSV file.
    root : Path
        The project's folder.
    as_of : datetime, optional
        With a time zone; yahoo needs it: sessions count that had closed by then.
    **yahoo
        What `YahooSource` takes beside; for reading, not for its digest.
    """
    if source == "snapshot":
        return SnapshotSource(root)
    if source == YAHOO:
        if as_of is None:
            raise ValueError("what grows with time needs an instant")
        return YahooSource(as_of, **yahoo)
    return FileSource(source, root)
