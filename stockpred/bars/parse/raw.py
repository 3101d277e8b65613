"""A raw table, its empty cells, and messages that name one of its cells."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from stockpred.arrays import Mask, Rows
from stockpred.errors import DataError

MAX_SHOWN = 60  # characters of a cell in a message
MAX_COLUMNS = 20  # in a message
BLANKS = ("", "nan", "null", "none", "na", "n/a", "#n/a", "-", "--")  # in lower case


@dataclass(frozen=True)
class RawTable:
    """A table as read from a file, before its columns and cells are understood.

    Attributes
    ----------
    cells : DataFrame
        Columns named as written: names may repeat, and be empty; a name of two header rows is a
        tuple. Cells may be text (from CSV) or typed (from Parquet).
    origin : str
        Name of the table in messages.
    rows : array of int, shape (rows,)
        Number of each row as the user counts them in the file.
    symbol : str
        Symbol of all rows where no column holds one, from the file's name; empty: none.
    notes : tuple of str
        One sentence for each thing recognised on reading, such as a separator.
    """

    cells: pd.DataFrame
    origin: str
    rows: Rows
    symbol: str = ""
    notes: tuple[str, ...] = ()

    def bad_cell(
        self, position: int, column: str, expected: str, fix: str = "", got: str = ""
    ) -> DataError:
        """Return the error of one cell.

        Parameters
        ----------
        position : int
            Of the row in `cells`.
        column : str
            Its name in messages.
        expected : str
            A right value, in words.
        fix : str, optional
            Default: correct or remove the row.
        got : str, optional
            The value, as shown.

        Returns
        -------
        DataError
        """
        return DataError(
            f"{self.origin}, row {self.rows[position]}, column {column!r}",
            expected=expected,
            got=got,
            fix=fix or "correct or remove this row",
        )


def is_blank(cells: pd.Series) -> Mask:
    """Find empty cells, and those with a word for empty such as ``nan`` or ``-``.

    Parameters
    ----------
    cells : Series, shape (rows,)
        Text, numbers or instants.

    Returns
    -------
    array of bool, shape (rows,)
    """
    empty = cells.isna().to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
        return np.asarray(empty)
    texts = pa.array(cells.astype("str"), pa.string(), from_pandas=True)
    words = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), pa.array(BLANKS))
    return np.asarray(empty | words.to_numpy(zero_copy_only=False))


def cell_text(value: object) -> str:
    """Return the text of a key's cell: a whole number without its decimals, trimmed.

    Examples
    --------
    >>> cell_text(600000.0), cell_text(" AAPL ")
    ('600000', 'AAPL')
    """
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value) if whole else value).strip()  # type: ignore[call-overload]


def show_value(value: object) -> str:
    """Return a cell as Python writes it, without numpy's types, cut to `MAX_SHOWN` characters.

    Examples
    --------
    >>> show_value(np.int64(10)), show_value("x"), show_value(np.nan)
    ('10', "'x'", 'an empty cell')
    """
    if value is None or value is pd.NA or value is pd.NaT or value != value or value == "":
        return "an empty cell"
    plain = value.item() if isinstance(value, np.generic) else value
    text = str(plain) if isinstance(plain, pd.Timestamp) else repr(plain)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def show_columns(names: list[str]) -> str:
    """List the names of columns, each once, at most `MAX_COLUMNS` of them."""
    distinct = list(dict.fromkeys(names))
    more = f", ... ({len(distinct)} in all)" if len(distinct) > MAX_COLUMNS else ""
    return ", ".join(itertools.islice((name or "(no name)" for name in distinct), MAX_COLUMNS)) + (
        more
    )
