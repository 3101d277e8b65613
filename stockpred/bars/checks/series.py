"""Checks of sound bars against those before them: splits, jumps, dead feeds, adjusted prices."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stockpred.arrays import Array, Mask, Rows
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks import limits
from stockpred.bars.checks.base import FAIL, WARN, Check

# What moves prices overnight without a market: (prices fall by, volume rises by), in logs.
_SCALES = np.log(
    [(ratio, ratio) for ratio in limits.SPLIT_RATIOS]
    + [(ratio, 1.0) for ratio in limits.UNIT_RATIOS]
)
_FALL, _RISE = np.concatenate([_SCALES, -_SCALES])[:, :, None].swapaxes(0, 1)  # (ratios, 1) each
_SMALLEST = np.abs(_FALL).min() - limits.SPLIT_OPEN


def _unadjusted_split(bars: BarArrays) -> Mask:
    """Bars from which on prices are on another scale than before.

    The open, and less exactly the close, stand at the last close over a split's ratio; and either
    the volume is at its usual times that ratio, where a crash or a surge would have raised it far
    beyond, or adj_close went on while close jumped.
    """
    found = np.zeros(len(bars.date), dtype=bool)
    gap = np.append(0.0, np.log(bars.open[1:] / bars.close[:-1]))
    rows = np.flatnonzero(np.abs(gap) > _SMALLEST)
    if not len(rows):
        return found
    move = np.log(bars.close[rows] / bars.close[rows - 1])
    step = np.log(bars.adj_close[rows] / bars.adj_close[rows - 1]) - move
    volume = np.log(bars.volume[rows] / _usual(bars.volume, rows))
    near = np.abs(gap[rows] + _FALL) <= limits.SPLIT_OPEN  # (ratios, jumps), as the next three
    near &= np.abs(move + _FALL) <= limits.SPLIT_CLOSE
    by_adjusted = near & (np.abs(step - _FALL) <= limits.SPLIT_ADJUSTED)
    by_volume = near & (np.abs(volume - _RISE) <= np.log(limits.SPLIT_VOLUME))
    unusual = np.abs(gap[rows]) > limits.UNUSUAL_GAP * _usual(np.abs(gap), rows)
    found[rows] = by_adjusted.any(axis=0) | (by_volume.any(axis=0) & unusual)
    return found


def _usual(values: Array, rows: Rows) -> Array:
    """Median of the USUAL_SESSIONS values before each of `rows`; NaN where they are too few."""
    before = np.append(np.full(limits.USUAL_SESSIONS, np.nan), values)
    median = np.nanmedian(sliding_window_view(before, limits.USUAL_SESSIONS)[rows], axis=1)
    return np.where(rows < limits.USUAL_AT_LEAST, np.nan, median)


def _jump(bars: BarArrays) -> Mask:
    move = np.append(0.0, np.log(bars.close[1:] / bars.close[:-1]))
    return np.abs(move) >= np.log(limits.JUMP)


def _stale(bars: BarArrays) -> Mask:
    rows = np.arange(len(bars.close))
    changed = np.append(True, bars.close[1:] != bars.close[:-1])
    return rows - np.maximum.accumulate(np.where(changed, rows, 0)) >= limits.STALE_SESSIONS


def _adjusted_wrongly(bars: BarArrays) -> Mask:
    ratio = bars.adj_close / bars.close
    slack = limits.FLOAT_NOISE + limits.HALF_CENT * (1 / bars.adj_close + 1 / bars.close)
    falls = ratio[1:] < ratio[:-1] * (1 - slack[1:] - slack[:-1])
    return (ratio > 1 + slack) | np.append(False, falls)


def _no_volume(bars: BarArrays) -> Mask:
    return bars.volume == 0


def _flat(bars: BarArrays) -> Mask:
    return bars.high == bars.low


SERIES_CHECKS = (
    Check("split", FAIL, "prices do not jump as by an unadjusted split", _unadjusted_split),
    Check("jump", WARN, f"a close is below {limits.JUMP:g} times the last, and the reverse", _jump),
    Check("stale", WARN, f"the close changes within {limits.STALE_SESSIONS} sessions", _stale),
    Check("adj_close", WARN, "adj_close / close never falls, nor is above 1", _adjusted_wrongly),
    Check("traded", WARN, "volume is not 0", _no_volume),
    Check("moved", WARN, "high and low differ", _flat),
)
