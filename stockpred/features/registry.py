"""Feature sets by name.

To add one: a `FeatureSet` in a module of this folder, and its name here. The guards of the tests
(look-ahead, look-back, scale) apply to each registered set.

Examples
--------
>>> import numpy as np
>>> from stockpred.bars.bar_arrays import BarArrays
>>> date = np.arange("2012-01-02", "2012-01-06", dtype="datetime64[D]").astype("datetime64[s]")
>>> open_, close = np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 5])
>>> high, low = np.maximum(open_, close), np.minimum(open_, close)
>>> bars = BarArrays(date, open_, high, low, close, adj_close=close, volume=np.full(4, 100.0))
>>> up = FEATURE_SETS["direction"].compute(bars, 2)
>>> up["up_0"].tolist(), up["up_1"].tolist()
([1.0, 0.0, 1.0, 1.0], [nan, 1.0, 0.0, 1.0])
>>> FEATURE_SETS["technical"].compute(bars, 2)["return_1"].round(3).tolist()
[nan, -0.693, 1.386, 0.223]
"""

from stockpred.features.direction import DIRECTION_SET
from stockpred.features.technical import TECHNICAL_SET

FEATURE_SETS = {feature_set.name: feature_set for feature_set in (DIRECTION_SET, TECHNICAL_SET)}
