"""The rows that a fit learns from, as arrays."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates, Mask, Rows
from stockpred.columns import DATE, LABEL, LABEL_END, SYMBOL
from stockpred.features.table import feature_columns

Features = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class TrainingTable:
    """What fits read of a feature table, without the other columns.

    Attributes
    ----------
    x : array of float32, shape (rows, features)
        One feature after the other in memory (Fortran order), as fits read them.
    label : array of float64, shape (rows,)
        1, 0, or NaN: a tie, or not known.
    symbol : array of int, shape (rows,)
        Number of each row's symbol.
    date, label_end : array of datetime64, shape (rows,)
        Session of each row, and the date on which its label is known (NaT: no label).
    """

    x: Features
    label: Array
    symbol: Rows
    date: Dates
    label_end: Dates

    @classmethod
    def from_frame(cls, table: pd.DataFrame) -> "TrainingTable":
        """Read a feature table, rows in any order; features of one float32 block are not copied."""
        return cls(
            table[feature_columns(table)].to_numpy(np.float32),
            table[LABEL].to_numpy(np.float64),
            pd.factorize(table[SYMBOL])[0],
            table[DATE].to_numpy(),
            table[LABEL_END].to_numpy(),
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.label)

    @property
    def is_labelled(self) -> Mask:
        """Mark the rows with a label."""
        return ~np.isnan(self.label)

    def labelled(self, rows: Rows | None = None) -> "TrainingTable":
        """Select rows with a label.

        Parameters
        ----------
        rows : array of int, shape (selected,), optional
            Positions of the rows to select from; None: all.

        Returns
        -------
        TrainingTable
            A copy; itself where all rows are wanted and have a label.
        """
        if rows is not None:
            return self.take(rows[self.is_labelled[rows]])
        is_labelled = self.is_labelled
        return self if is_labelled.all() else self.take(np.flatnonzero(is_labelled))

    def take(self, rows: Rows) -> "TrainingTable":
        """Copy rows at some positions, in the order of these."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        taken = {name: values[rows] for name, values in columns.items() if name != "x"}
        return replace(self, x=self.x.T.take(rows, axis=1).T, **taken)
