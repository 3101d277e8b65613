"""The memory that a table's fits need, before work starts."""

from pathlib import Path

from pipeline.parallel.address import LOCAL
from pipeline.parallel.engine import cores
from pipeline.process.memory import available_memory
from pipeline.storage.parquet import read_footer
from stockpred.columns import KEY, OUTCOME
from stockpred.errors import ParameterError

# Peaks of 1 million rows x 47 features, by value: the table with its outcomes and a copy of the
# rows before the holdout; and the largest fit, of hist_gradient_boosting, which copies as float64.
BYTES_OF_TABLE, BYTES_OF_FIT = 18, 16


def check_memory(
    table: str, path: Path, engine: str, *, fits: int | None = None, available: int | None = None
) -> None:
    """Refuse a table that is too large for this machine.

    Parameters
    ----------
    table : str
        The parameter `table`, for the message.
    path : Path
        features.parquet.
    engine : str
        With another than ``local``, this machine makes one fit at a time.
    fits : int, optional
        Fits side by side on this machine; default: its cores.
    available : int, optional
        Bytes; default: what the machine has left.

    Raises
    ------
    ParameterError
        Its fits would need more memory than is available.
    """
    footer = read_footer(path)
    rows, features = footer.num_rows, footer.num_columns - len(KEY) - len(OUTCOME)
    fits = (fits or cores()) if engine == LOCAL else 1
    available = available_memory() if available is None else available
    needed = rows * features * (BYTES_OF_TABLE + BYTES_OF_FIT * fits)
    if available is None or needed <= available:
        return
    raise ParameterError(
        "table",
        table,
        expected=f"a table whose fits need at most {available / 2**30:,.1f} GiB, the memory left",
        got=f"{rows:,} rows x {features} features, which need about {needed / 2**30:,.1f} GiB",
        fix="give fewer symbols, a later start, or an engine= whose machines have more memory",
    )
