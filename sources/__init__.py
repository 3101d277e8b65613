"""Where bars come from: the embedded snapshot, or a file. Each gives its digest before its rows."""

from pathlib import Path

from sources.base import Acquired, Source
from sources.files import FileSource
from sources.snapshot import SnapshotSource
from stockpred.errors import ParameterError

__all__ = ["Acquired", "Source", "open_source"]


def open_source(source: str, root: Path) -> Source:
    """The source that the parameter `source` names.

    Parameters
    ----------
    source : str
        ``snapshot``, or a path (relative to `root`) or URI of a Parquet or CSV file.
    root : Path
        The project's folder.

    Raises
    ------
    ParameterError
        No such source.
    """
    if source == "snapshot":
        return SnapshotSource(root)
    if source == "yahoo":
        raise ParameterError(
            "source", source, "Yahoo is not built yet; give snapshot, or a file of bars"
        )
    return FileSource(source, root)
