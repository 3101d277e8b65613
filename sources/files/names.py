"""Names of files: the symbol in them, and which files of a folder hold bars."""

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

PACKED = (".gz", ".bz2", ".xz", ".zip")
_TABLES = (".csv", ".txt", ".tsv", ".parquet", ".pq")
_ABOUT = ("readme", "license", "licence")


def symbol_of(name: str) -> str:
    """Return the symbol that a file's name holds: the name without its endings.

    Examples
    --------
    >>> symbol_of("daily/AAPL.csv.gz"), symbol_of("M&M.NS.csv"), symbol_of("aapl.us.txt")
    ('AAPL', 'M&M.NS', 'aapl.us')
    """
    stem = PurePosixPath(name).name
    while PurePosixPath(stem).suffix.lower() in (*_TABLES, *PACKED):
        stem = PurePosixPath(stem).stem
    return stem


def is_table(name: str) -> bool:
    """Whether a file of a folder or archive is read, by its name.

    Examples
    --------
    >>> is_table("x/AAPL.csv"), is_table("README.txt"), is_table("__MACOSX/._AAPL.csv")
    (True, False, False)
    """
    path = PurePosixPath(name)
    is_hidden = any(part.startswith((".", "__")) for part in path.parts)
    is_about = path.stem.lower() in _ABOUT
    return path.suffix.lower() in (*_TABLES, *PACKED) and not is_hidden and not is_about


def name_in_uri(uri: str) -> str:
    """Return the name of the file that a URI or path ends in."""
    parts = urlsplit(uri)
    return PurePosixPath(unquote(parts.path) if parts.scheme else uri).name
