"""Numbers, in the forms that people write them."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from stockpred.arrays import Array, Mask
from stockpred.bars.parse.raw import RawTable, is_blank, show_value
from stockpred.columns import VOLUME

EXPECTED = "a number"
_NUMBER = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity))$"
_SIGN = r"^([+-]?)\s*[$€£¥]\s*"
_SPACES = " \u00a0\u202f'\u2019"  # between groups of thousands, never between decimals
# A comma in one of these separates decimals, in one of those thousands; elsewhere it may be either.
_DECIMAL_COMMA = r",\d{1,2}$|,\d{4,}$|\.\d{3},|^[+-]?0+,|\d{4},\d+$|\.\d{3}\.\d{3}"
_THOUSANDS_COMMA = r",\d{3},|,\d{2},|,\d{3}\."
# A decimal point: not one that may separate thousands.
_DECIMAL_POINT = r"\.\d{1,2}$|\.\d{4,}$"
_IN_DOUBT = "write 1000 or 0.5: here a comma may separate thousands or decimals"
_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}


def parse_numbers(
    columns: Mapping[str, pd.Series], table: RawTable, volumes: Container[str] = (VOLUME,)
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Parse the columns of numbers of a table, which share one way of writing them.

    Parameters
    ----------
    columns : mapping of str to Series, shape (rows,)
        Name for messages -> cells, text or numbers.
    table : RawTable
        The table of the cells, for messages.
    volumes : container of str, optional
        Names of the columns that may have units, such as 1.5M.

    Returns
    -------
    numbers : dict of str to array of float, shape (rows,)
        NaN where a cell is empty.
    notes : tuple of str
        A decimal comma or separators of thousands, where there are any.

    Raises
    ------
    DataError
        A cell is no number, or its comma may separate decimals as well as thousands; the message
        has row and value.
    """
    texts: dict[str, pd.Series] = {}
    numbers: dict[str, Array] = {}
    for name, cells in columns.items():
        if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
            raise table.bad_cell(0, name, EXPECTED, got=show_value(cells.iloc[0]))
        if pd.api.types.is_numeric_dtype(cells):
            numbers[name] = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            texts[name] = cells.astype("str").str.strip()
    odd = [cells[_is_unread(cells)] for cells in texts.values()]
    if sum(map(len, odd)) == 0:
        return numbers | {name: _to_float(cells) for name, cells in texts.items()}, ()
    has_point = any(_matches(cells, _DECIMAL_POINT).any() for cells in texts.values())
    commas = _Commas.find(pd.concat(odd), has_point)
    for name, cells in texts.items():
        plain = _plain(cells, commas.are_decimal)
        numbers[name] = _to_float(plain, has_units=name in volumes)
        bad = np.isnan(numbers[name]) & ~is_blank(cells)
        if not commas.are_known:
            bad |= _has_comma(cells)
        if bad.any():
            position = int(np.argmax(bad))
            value = columns[name].iloc[position]
            fix = "" if commas.are_known or not _has_comma(cells)[position] else _IN_DOUBT
            raise table.bad_cell(position, name, EXPECTED, fix=fix, got=show_value(value))
    return numbers, commas.notes


@dataclass(frozen=True)
class _Commas:
    """Meaning of commas in the numbers of a table.

    Attributes
    ----------
    are_decimal : bool
        True: a comma is the decimal point; False: it separates thousands.
    are_known : bool
        Whether a cell shows which of them holds.
    notes : tuple of str
    """

    are_decimal: bool
    are_known: bool
    notes: tuple[str, ...]

    @classmethod
    def find(cls, cells: pd.Series, has_point: bool) -> "_Commas":
        """Decide by cells in which a comma can mean one of them only, or by decimal points."""
        is_decimal = bool(_matches(cells, _DECIMAL_COMMA).any())
        is_thousands = bool(_matches(cells, _THOUSANDS_COMMA).any())
        if is_decimal and not is_thousands:
            return cls(True, True, ("numbers are read with a decimal comma",))
        is_known = is_thousands or has_point
        notes = ("commas in numbers are read as separators of thousands",)
        return cls(False, is_known, notes if is_known and _has_comma(cells).any() else ())


def _has_comma(cells: pd.Series) -> Mask:
    return _matches(cells, ",")


def _matches(cells: pd.Series, pattern: str) -> Mask:
    """Search a regular expression in each cell; False where it is empty."""
    # Arrow's is ten times as fast as that of pandas, which goes through Python objects for some.
    found = pc.match_substring_regex(pa.array(cells, pa.string(), from_pandas=True), pattern)
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False))


def _is_unread(cells: pd.Series) -> Mask:
    return np.isnan(_to_float(cells)) & ~is_blank(cells)


def _to_float(cells: pd.Series, has_units: bool = False) -> Array:
    """Convert plain numbers; other cells become NaN."""
    factor: Any = 1.0
    if has_units and _matches(cells, r"\d\s*[KMBkmb]$").any():
        unit = cells.str.extract(r"\d\s*([KMBkmb])$", expand=False).str.upper()
        factor = unit.map(_UNITS).astype(np.float64).fillna(1.0).to_numpy()
        cells = cells.str.replace(r"\s*[KMBkmb]$", "", regex=True)
    # Some tenths of a second a million cells; pandas converts each to an object first.
    texts = pa.array(cells, pa.string(), from_pandas=True)
    texts = pc.if_else(
        pc.match_substring_regex(texts, _NUMBER), texts, pa.scalar(None, pa.string())
    )
    numbers = pc.utf8_ltrim(texts, "+").cast(pa.float64())
    return np.asarray(numbers.to_numpy(zero_copy_only=False) * factor)


def _plain(cells: pd.Series, has_decimal_comma: bool) -> pd.Series:
    """Write numbers with a decimal point and without currency signs and groups of thousands."""
    point, comma = (",", ".") if has_decimal_comma else (".", ",")
    if _matches(cells, "[$€£¥]").any():
        cells = cells.str.replace(_SIGN, r"\1", regex=True)
    group = rf"[{_SPACES}\{comma}]"
    is_grouped = _matches(
        cells,
        rf"^[+-]?(?:\d{{1,3}}(?:{group}\d{{3}})+|\d{{1,2}}(?:,\d{{2}})+,\d{{3}})"
        rf"(?:\{point}\d*)?\s*[KMBkmb]?$",
    )
    if is_grouped.any():
        cells = cells.mask(is_grouped, cells[is_grouped].str.replace(group, "", regex=True))
    if has_decimal_comma:
        has_point = _matches(cells, r"\.")
        if has_point.any():  # no decimal point in this table
            cells = cells.mask(has_point, "x")
        cells = cells.str.replace(",", ".", regex=False)
    return cells
