"""Forecasts for people: predictions.csv, and a table on stdout."""

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from pipeline.log.console import logger, text_table
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_groups
from reports.text.forecasts import HEAD, forecast_rows
from stockpred.columns import AS_OF, DATE

CSV = "predictions.csv"
MAX_CSV_ROWS = 2**20 - 1  # as many as Excel opens, below the head
SHOWN = 20  # forecasts of the table


def write_csv(run: StepRun, path: Path, rows: int) -> None:
    """Write the forecasts of a Parquet file as predictions.csv, unless there are too many.

    Parameters
    ----------
    run : StepRun
        Open run that gets the artifact.
    path : Path
        predictions.parquet.
    rows : int
        Its rows.
    """
    if rows > MAX_CSV_ROWS:
        logger.info(f"score: no {CSV}: {rows:,} rows are more than Excel opens ({MAX_CSV_ROWS:,})")
        return
    tables = (_plain(group) for group in read_groups(path))
    first = next(tables)
    with run.report(CSV) as out, pacsv.CSVWriter(out, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def print_forecasts(run: StepRun, path: Path, horizon: int) -> None:
    """Print the forecasts as a table; of many, those made after the newest session.

    Parameters
    ----------
    run : StepRun
        Run that has the forecasts.
    path : Path
        predictions.parquet.
    horizon : int
        Sessions from entry to exit.
    """
    rows, total = _newest(path)
    cells = forecast_rows(rows, horizon)
    lines = ["", *text_table(cells, right=[cells[0].index(HEAD[2])])]
    if total > len(rows):
        lines.append(f"... and {total - len(rows):,} more")
    files = path.name if total > MAX_CSV_ROWS else f"{path.name} and {CSV}"
    lines += ["", f"With all columns: {files}"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _newest(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the forecasts to show, and the number of all."""
    dates = [group[DATE] for group in read_groups(path, [DATE])]
    total = sum(map(len, dates))
    newest = max(pc.max(column).as_py() for column in dates)
    shown: list[dict[str, Any]] = []
    for group in read_groups(path):
        rows = group if total <= SHOWN else group.filter(pc.equal(group[DATE], newest))
        shown += rows.slice(0, SHOWN - len(shown)).to_pylist()
        if len(shown) == SHOWN:
            break
    return shown, total


def _plain(table: pa.Table) -> pa.Table:
    """Replace what CSV has no form for: dictionaries by their values, an instant by ISO text."""
    columns = {
        name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    seconds = columns[AS_OF].cast(pa.timestamp("s", "UTC"))
    columns[AS_OF] = pc.strftime(seconds, "%Y-%m-%dT%H:%M:%SZ")
    return pa.table(columns)
