"""Checks of sound bars against earlier ones: splits, jumps, dead feeds, adjusted prices."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stockpred.arrays import Array, Mask, Rows
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks import limits
from stockpred.bars.checks.base import FAIL, WARN, Check

# Changes of scale overnight: (log of the fall of prices, log of the rise of volume).
_SCALES = np.log(
    [(ratio, ratio) for ratio in limits.SPLIT_RATIOS]
    + [(ratio, 1.0) for ratio in limits.UNIT_RATIOS]
)
_FALL, _RISE = np.concatenate([_SCALES, -_SCALES])[:, :, None].swapaxes(0, 1)  # (ratios, 1) each
_SMALLEST = np.abs(_FALL).min() - limits.SPLIT_OPEN
_ANY_JUMP = np.log(limits.ANY_RATIO) - limits.SPLIT_OPEN


def _is_unadjusted_split(bars: BarArrays) -> Mask:
    """Find bars from which on prices have another scale than before.

    Of the overnight jumps these are found:

    - The open, and less exactly the close, equal the last close divided by a split's ratio. And
      either volume is near its usual times that ratio (a crash or a surge raises it far more), or
      adj_close goes on smoothly while close jumps.
    - Any ratio from `ANY_RATIO` on, far above every other move of the sessions before, where volume
      is no higher than usual for the ratio or nothing was traded, and adj_close jumps as well.
    - The reverse of such a jump shortly before: the end of a bad stretch.
    """
    is_split = np.zeros(len(bars), dtype=bool)
    gap = np.append(0.0, np.log(bars.open[1:] / bars.close[:-1]))
    rows = np.flatnonzero(np.abs(gap) > _SMALLEST)
    if not len(rows):
        return is_split
    move = np.log(bars.close[rows] / bars.close[rows - 1])
    step = np.log(bars.adj_close[rows] / bars.adj_close[rows - 1]) - move
    usual_volume = _usual(bars.volume, rows)
    volume = np.log(bars.volume[rows] / usual_volume)
    near = np.abs(gap[rows] + _FALL) <= limits.SPLIT_OPEN  # (ratios, jumps), as the next three
    near &= np.abs(move + _FALL) <= limits.SPLIT_CLOSE
    by_adjusted = near & (np.abs(step - _FALL) <= limits.SPLIT_ADJUSTED)
    by_volume = near & (np.abs(volume - _RISE) <= np.log(limits.SPLIT_VOLUME))
    unusual = np.abs(gap[rows]) > limits.UNUSUAL_GAP * _usual(np.abs(gap), rows)
    is_listed = by_adjusted.any(axis=0) | (by_volume.any(axis=0) & unusual)
    # A special dividend is a jump of close alone.
    is_steady = np.abs(step) <= limits.SPLIT_ADJUSTED
    is_steady &= np.abs(move - gap[rows]) <= limits.SPLIT_CLOSE
    is_quiet = volume <= np.log(limits.SPLIT_VOLUME) + np.maximum(-gap[rows], 0)
    is_idle = (bars.volume[rows] == 0) & (bars.high[rows] == bars.low[rows])
    is_scale = (is_quiet & (usual_volume > 0)) | (is_idle & (rows >= limits.USUAL_AT_LEAST))
    is_scale &= np.abs(gap[rows]) >= _ANY_JUMP
    largest = np.maximum(np.abs(gap), np.append(0.0, np.abs(np.diff(np.log(bars.close)))))
    for place, row in enumerate(rows.tolist()):
        if is_listed[place]:
            is_split[row] = True
        elif is_steady[place]:
            before = _reversed_jump(gap, rows[:place], row)
            is_end = before is not None and (
                is_split[before] or row - before <= limits.SHORT_RETURN
            )
            is_split[row] = (is_scale[place] or is_end) and _is_lone(largest, row, is_split, before)
    return is_split


def _reversed_jump(gap: Array, jumps: Rows, row: int) -> int | None:
    """Return the last of the jumps before `row` that the one there reverses, or None."""
    is_reversed = np.abs(gap[row] + gap[jumps]) <= limits.SPLIT_OPEN
    reversed_jumps = jumps[is_reversed & (row - jumps <= limits.RETURN_SESSIONS)]
    return int(reversed_jumps[-1]) if len(reversed_jumps) else None


def _is_lone(largest: Array, row: int, is_split: Mask, ignored: int | None) -> bool:
    """Whether a jump is far above the moves of the sessions before, but for splits and one row."""
    first = max(row - limits.USUAL_SESSIONS, 1)
    others = np.where(is_split[first:row], 0.0, largest[first:row])
    if ignored is not None and ignored >= first:
        others[ignored - first] = 0.0
    return bool(largest[row] > limits.LONE_JUMP * others.max(initial=0.0))


def _usual(values: Array, rows: Rows) -> Array:
    """Return the median of the USUAL_SESSIONS values before each of `rows`; NaN if too few."""
    before = np.append(np.full(limits.USUAL_SESSIONS, np.nan), values)
    median = np.nanmedian(sliding_window_view(before, limits.USUAL_SESSIONS)[rows], axis=1)
    return np.where(rows < limits.USUAL_AT_LEAST, np.nan, median)


def _is_in_another_unit(bars: BarArrays) -> Mask:
    """Find bars of which one column alone is in another unit; `low` and `high` find the others."""
    is_wide = bars.high > limits.UNIT_ERROR * np.maximum(bars.open, bars.close)
    is_wide |= bars.low * limits.UNIT_ERROR < np.minimum(bars.open, bars.close)
    ratio = bars.adj_close / bars.close
    last, now = ratio[:-1], ratio[1:]
    is_step = (now > limits.UNIT_ERROR * last) | (last > limits.UNIT_ERROR * now)
    return is_wide | np.append(False, is_step)


def _is_jump(bars: BarArrays) -> Mask:
    move = np.append(0.0, np.log(bars.close[1:] / bars.close[:-1]))
    return np.abs(move) >= np.log(limits.JUMP)


def _is_stale(bars: BarArrays) -> Mask:
    rows = np.arange(len(bars.close))
    changed = np.append(True, bars.close[1:] != bars.close[:-1])
    return rows - np.maximum.accumulate(np.where(changed, rows, 0)) >= limits.STALE_SESSIONS


def _is_adjusted_wrongly(bars: BarArrays) -> Mask:
    ratio = bars.adj_close / bars.close
    slack = limits.FLOAT_NOISE + limits.HALF_CENT * (1 / bars.adj_close + 1 / bars.close)
    falls = ratio[1:] < ratio[:-1] * (1 - slack[1:] - slack[:-1])
    return (ratio > 1 + slack) | np.append(False, falls)


def _has_no_volume(bars: BarArrays) -> Mask:
    return bars.volume == 0


def _is_flat(bars: BarArrays) -> Mask:
    return bars.high == bars.low


SERIES_CHECKS = (
    Check("split", FAIL, "prices do not jump to another scale", _is_unadjusted_split),
    Check("unit", FAIL, "no single column is in another unit", _is_in_another_unit),
    Check("jump", WARN, "a close neither doubles nor halves within a session", _is_jump),
    Check("stale", WARN, f"the close changes within {limits.STALE_SESSIONS} sessions", _is_stale),
    Check("adj_close", WARN, "adj_close / close never falls, nor is above 1", _is_adjusted_wrongly),
    Check("traded", WARN, "volume is not 0", _has_no_volume),
    Check("moved", WARN, "high and low differ", _is_flat),
)
