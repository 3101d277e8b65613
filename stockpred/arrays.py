"""Types of numpy arrays, and the empty array of sessions."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Rows = np.ndarray[Any, np.dtype[np.int64]]  # positions of rows
Dates = np.ndarray[Any, np.dtype[np.datetime64]]

NO_SESSIONS: Dates = np.array([], dtype="datetime64[s]")
