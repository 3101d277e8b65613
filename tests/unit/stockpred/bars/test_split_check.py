"""Splits and units that a source left unadjusted: found, and no crash taken for one."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.bars.checks import limits
from stockpred.bars.checks.validate import validate
from stockpred.bars.schema import Quarantine
from stockpred.features.table import feature_columns, feature_rows, longest_lookback
from tests.support.data.bad_bars import corrupt, problem_counts
from tests.support.data.bars import make_bars

few = settings(max_examples=40, deadline=None)


def unsplit(bars: pd.DataFrame, row: int, ratio: float, with_adjusted: bool = True) -> pd.DataFrame:
    """Bars whose source did not adjust for a split at a row."""
    before = bars.index < row
    prices = ["open", "high", "low", "close"] + ["adj_close"] * with_adjusted
    return bars.assign(
        volume=np.where(before, bars["volume"] / ratio, bars["volume"]),
        **{name: np.where(before, bars[name] * ratio, bars[name]) for name in prices},
    )


def planted(real_bars: pd.DataFrame, times: int, seed: int) -> list[tuple[pd.DataFrame, int]]:
    """Real bars of a random symbol, 300 of them, and a random row from the 21st on."""
    rng = np.random.default_rng(seed)
    symbols = [b for _, b in real_bars.groupby("symbol") if len(b) > 300]
    found = []
    for _ in range(times):
        bars = symbols[rng.integers(len(symbols))]
        start = int(rng.integers(len(bars) - 300))
        found.append((bars[start : start + 300].reset_index(drop=True), int(rng.integers(20, 300))))
    return found


@pytest.mark.parametrize("ratio", [4 / 3, 3 / 2, 2, 3, 5, 7, 10, 1 / 2, 1 / 4, 1 / 10, 1 / 25])
def test_split_check_finds_unadjusted_split_in_real_bars(
    real_bars: pd.DataFrame, ratio: float
) -> None:
    hits = 0
    for bars, row in planted(real_bars, 60, seed=1):
        found = validate(unsplit(bars, row, ratio))
        day = f"{bars['date'][row]:%Y-%m-%d}"
        assert set(found.quarantines) <= {Quarantine(bars["symbol"][0], day, day)}
        hits += len(found.quarantines)
    assert hits >= 0.93 * 60


def test_split_check_with_adjusted_close_needs_no_volume(
    real_bars: pd.DataFrame,
) -> None:
    hits = 0
    for bars, row in planted(real_bars, 60, seed=2):
        found = validate(unsplit(bars, row, 2.0, with_adjusted=False).assign(volume=0.0))
        hits += list(found.failed_checks.values()) == [("split",)]
    assert hits >= 0.93 * 60


@pytest.mark.parametrize("fall", [1 / 2, 1 / 3, 3 / 4])
def test_split_check_passes_a_crash_in_real_bars(real_bars: pd.DataFrame, fall: float) -> None:
    for bars, row in planted(real_bars, 60, seed=3):
        # As on 2000-09-29: the price falls by a split's ratio, on ten times the usual volume.
        crash = unsplit(bars, row, 1 / fall)
        usual = np.median(bars["volume"][row - 20 : row])
        crash["volume"] = np.where(crash.index == row, 10 * usual, bars["volume"])
        found = validate(crash)
        assert found.quarantines == (), bars["date"][row]


def test_split_check_finds_pence_for_pounds() -> None:
    found = validate(corrupt(make_bars(120), "unit", 60), 1)
    # A jump, too; but what is taken out is not reported twice.
    assert problem_counts(found) == [("split", "fail", 1)]


def test_feature_rows_do_not_bridge_a_split() -> None:
    bars = make_bars(200)
    split = unsplit(bars, 100, 10.0)
    found = validate(split)
    rows = feature_rows(found.bars, ("technical",), 14, 1, found.quarantines)
    plain = feature_rows(bars.drop(index=100), ("technical",), 14, 1, found.quarantines)
    numbers = feature_columns(rows)
    # One scale on each side of the seam: what remains is what the adjusted bars give.
    np.testing.assert_allclose(rows[numbers], plain[numbers], rtol=2e-4, atol=1e-5)
    lookback = longest_lookback(("technical",), 14)
    assert len(rows) == (101 - lookback) + (100 - lookback)


@given(seed=st.integers(0, 10_000), calm=st.booleans(), cheap=st.booleans())
@few
def test_split_check_matches_a_loop(seed: int, calm: bool, cheap: bool) -> None:
    rng = np.random.default_rng(seed)
    bars = make_bars(80, seed=seed)
    close = rng.choice([1.0, 2.0, 3.0, 4.0, 8.0, 100.0], 80) * (0.01 if cheap else 10.0)
    if calm:
        close = np.repeat(close[::16], 16)
    scale = close / bars["close"]
    for name in ("open", "high", "low", "close"):
        bars[name] *= scale
    bars["adj_close"] = bars["close"] * np.where(rng.random(80) < 0.8, 1.0, rng.random(80))
    bars["volume"] /= np.where(rng.random(80) < 0.7, scale, 1.0)
    bars.loc[rng.random(80) < 0.05, "volume"] = 0.0
    found = validate(bars, 0)
    values = {name: bars[name].tolist() for name in bars}
    rows = [row for row in range(1, 80) if is_split(values, row)]
    quarantined = {str(bars["date"][row])[:10] for row in rows}
    kept = {str(day)[:10] for day in found.bars["date"]}
    assert kept == {str(day)[:10] for day in bars["date"]} - quarantined


def is_split(bars: dict[str, list], row: int) -> bool:
    """One row, in plain words of the rule."""
    opens, closes, adjusted, volumes = (
        bars[name] for name in ("open", "close", "adj_close", "volume")
    )
    gaps = [0.0] + [abs(math.log(opens[i] / closes[i - 1])) for i in range(1, row + 1)]
    usual_gap = statistics.median(gaps[max(row - 20, 0) : row])
    usual_volume = statistics.median(volumes[max(row - 20, 0) : row])
    move = math.log(closes[row] / closes[row - 1])
    step = math.log(adjusted[row] / adjusted[row - 1]) - move
    scales = [(r, r) for r in limits.SPLIT_RATIOS] + [(r, 1.0) for r in limits.UNIT_RATIOS]
    for fall, rise in scales + [(1 / fall, 1 / rise) for fall, rise in scales]:
        opened = math.log(opens[row] / closes[row - 1] * fall)
        if abs(opened) > limits.SPLIT_OPEN or abs(move + math.log(fall)) > limits.SPLIT_CLOSE:
            continue
        if abs(step - math.log(fall)) <= limits.SPLIT_ADJUSTED:
            return True
        known = row >= limits.USUAL_AT_LEAST and usual_volume > 0 and volumes[row] > 0
        if known and abs(math.log(volumes[row] / usual_volume / rise)) <= math.log(3):
            return gaps[row] > limits.UNUSUAL_GAP * usual_gap
    return False


def test_split_check_finds_split_after_a_broken_bar() -> None:
    bars = unsplit(make_bars(120), 60, 4.0)
    bars.loc[59, "close"] = np.nan
    found = validate(bars, 1)
    assert list(found.failed_checks.values()) == [("finite", "split")]
