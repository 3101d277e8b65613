"""The feature set `direction`: whether each of the last sessions closed above its open."""

from collections.abc import Mapping

import numpy as np

from stockpred.arrays import Array
from stockpred.bars.bar_arrays import BarArrays
from stockpred.features.base import Feature, FeatureSet, lag


def _features(window: int) -> tuple[Feature, ...]:
    return tuple(
        Feature(f"up_{k}", k + 1, f"1 where the session {k} before this one closed above its open")
        for k in range(window)
    )


def _compute(bars: BarArrays, window: int) -> Mapping[str, Array]:
    up = (bars.close > bars.open).astype(np.float64)
    return {f"up_{k}": lag(up, k) for k in range(window)}


DIRECTION_SET = FeatureSet("direction", _features, _compute)
