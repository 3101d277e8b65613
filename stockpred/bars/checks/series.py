"""Checks of sound bars against those before them: splits, jumps, dead feeds, adjusted prices."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stockpred.arrays import Array, Mask
from stockpred.bars.checks import limits
from stockpred.bars.checks.base import FAIL, WARN, Check, History, Rows

# What moves prices overnight without a market: (prices fall by, volume rises by), in logs.
_SCALES = np.log(
    [(ratio, ratio) for ratio in limits.SPLIT_RATIOS]
    + [(ratio, 1.0) for ratio in limits.UNIT_RATIOS]
)
_FALL, _RISE = np.concatenate([_SCALES, -_SCALES])[:, :, None].swapaxes(0, 1)  # (ratios, 1) each
_SMALLEST = np.abs(_FALL).min() - limits.SPLIT_OPEN


def _unadjusted_split(h: History) -> Mask:
    """Bars from which on prices are on another scale than before.

    The open, and less exactly the close, stand at the last close over a split's ratio; and either
    the volume is at its usual times that ratio, where a crash or a surge would have raised it far
    beyond, or adj_close went on while close jumped.
    """
    found = np.zeros(len(h.date), dtype=bool)
    gap = np.append(0.0, np.log(h.open[1:] / h.close[:-1]))
    rows = np.flatnonzero(np.abs(gap) > _SMALLEST)
    if not len(rows):
        return found
    move = np.log(h.close[rows] / h.close[rows - 1])
    step = np.log(h.adj_close[rows] / h.adj_close[rows - 1]) - move
    volume = np.log(h.volume[rows] / _usual(h.volume, rows))
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


def _jump(h: History) -> Mask:
    move = np.append(0.0, np.log(h.close[1:] / h.close[:-1]))
    return np.abs(move) >= np.log(limits.JUMP)


def _stale(h: History) -> Mask:
    rows = np.arange(len(h.close))
    changed = np.append(True, h.close[1:] != h.close[:-1])
    return rows - np.maximum.accumulate(np.where(changed, rows, 0)) >= limits.STALE_SESSIONS


def _adjusted_wrongly(h: History) -> Mask:
    ratio = h.adj_close / h.close
    slack = limits.FLOAT_NOISE + limits.HALF_CENT * (1 / h.adj_close + 1 / h.close)
    falls = ratio[1:] < ratio[:-1] * (1 - slack[1:] - slack[:-1])
    return (ratio > 1 + slack) | np.append(False, falls)


def _no_volume(h: History) -> Mask:
    return h.volume == 0


def _flat(h: History) -> Mask:
    return h.high == h.low


SERIES_CHECKS = (
    Check("split", FAIL, "prices do not jump as by an unadjusted split", _unadjusted_split),
    Check("jump", WARN, f"a close is below {limits.JUMP:g} times the last, and the reverse", _jump),
    Check("stale", WARN, f"the close changes within {limits.STALE_SESSIONS} sessions", _stale),
    Check("adj_close", WARN, "adj_close / close never falls, nor is above 1", _adjusted_wrongly),
    Check("traded", WARN, "volume is not 0", _no_volume),
    Check("moved", WARN, "high and low differ", _flat),
)
