"""The rows that fits read."""

import numpy as np
import pyarrow as pa

from stockpred.features.table import feature_columns, rows_from_arrow
from stockpred.training.training_table import TrainingTable
from tests.support.data.generated_tables import generate_table


def test_training_table_reads_features_without_a_copy() -> None:
    table = rows_from_arrow(pa.Table.from_pandas(generate_table(dates=20), preserve_index=False))
    rows = TrainingTable.from_frame(table)
    assert np.shares_memory(rows.x, TrainingTable.from_frame(table).x)
    assert rows.labelled() is rows
    assert np.array_equal(rows.x, table[feature_columns(table)].to_numpy())


def test_labelled_rows_keep_the_given_order_and_leave_out_ties() -> None:
    table = generate_table(dates=20)
    table.loc[3, "label"] = np.nan
    rows = TrainingTable.from_frame(table)
    assert len(rows.labelled()) == len(rows) - 1
    taken = rows.labelled(np.array([5, 3, 2]))
    assert np.array_equal(taken.x, rows.x[[5, 2]])
    assert taken.date.tolist() == table["date"].to_numpy()[[5, 2]].tolist()
