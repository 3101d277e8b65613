"""Parquet files as raw tables, by their columns alone: metadata of pandas is not read."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as types

from sources.files.limits import Budget
from sources.files.location import SourceFile
from sources.files.names import symbol_of
from stockpred.bars.parse import RawTable
from stockpred.errors import DataError, StockpredError

MAGIC = b"PAR1"
_BINARY = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)


def read_parquet(file: SourceFile, budget: Budget) -> RawTable:
    """Read a Parquet file.

    Parameters
    ----------
    file : SourceFile
    budget : Budget
        Bytes that may still be unpacked.

    Returns
    -------
    RawTable
        Rows counted from 1; an instant with a time zone as its local time there.

    Raises
    ------
    ParameterError
        The file unpacks to more than the budget has.
    DataError
        The file is damaged.
    """
    try:
        parquet = pq.ParquetFile(io.BytesIO(file.content))
        budget.take(_unpacked_size(parquet.metadata))
        table = parquet.read()
        table.validate(full=True)
        series = [_to_series(column) for column in table.columns]
    except StockpredError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # names that are not UTF-8
        raise DataError(
            f"source={file.origin!r}",
            expected="a whole Parquet file",
            got="a damaged one",
            fix="write it again",
        ) from error
    cells = pd.concat(series, axis=1) if series else pd.DataFrame()
    cells.columns = pd.Index([str(name) for name in table.column_names], dtype=object)
    rows = np.arange(1, table.num_rows + 1)
    return RawTable(cells, file.origin, rows, symbol_of(file.name))


def _unpacked_size(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # The file's own figure does not count runs of one value, which unpack to 8 bytes each.
    return max(
        sum(group.total_byte_size for group in groups),
        sum(group.num_rows for group in groups) * metadata.num_columns * 8,
    )


def _to_series(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_decimal(kind) or types.is_float16(kind):
        column = column.cast(pa.float64())
    elif types.is_date(kind):
        column = column.cast(pa.timestamp("s" if types.is_date32(kind) else "ms"))
    elif types.is_timestamp(kind) and kind.tz is not None:
        column = pc.local_timestamp(column)
    elif any(check(kind) for check in _BINARY):
        try:
            column = column.cast(pa.string())
        except pa.ArrowInvalid:  # bytes that are no text, in a column that may not matter
            return _placeholders(column)
    elif types.is_null(kind):
        column = column.cast(pa.float64())
    elif types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
        return _placeholders(column)
    return column.to_pandas()


def _placeholders(column: pa.ChunkedArray) -> pd.Series:
    return pd.Series([f"a value of type {column.type}"] * len(column), dtype="str")
