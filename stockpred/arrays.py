"""Types of numpy arrays."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Dates = np.ndarray[Any, np.dtype[np.datetime64]]
