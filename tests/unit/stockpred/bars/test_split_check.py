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

PRICES = ["open", "high", "low", "close", "adj_close"]
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


@pytest.mark.parametrize("ratio", [2.27, 15.8, 1 / 2.12, 1 / 18.3])
@pytest.mark.parametrize("has_volume", [True, False])
def test_split_check_finds_any_ratio_in_real_bars(
    real_bars: pd.DataFrame, ratio: float, has_volume: bool
) -> None:
    # A merger's or a spin-off's ratio; or prices alone are scaled, and volume is not.
    hits = 0
    for bars, row in planted(real_bars, 30, seed=4):
        broken = unsplit(bars, row, ratio)
        found = validate(broken if has_volume else broken.assign(volume=bars["volume"]))
        day = f"{bars['date'][row]:%Y-%m-%d}"
        assert set(found.quarantines) <= {Quarantine(bars["symbol"][0], day, day)}
        hits += len(found.quarantines)
    assert hits >= 0.93 * 30


@pytest.mark.parametrize(
    ("length", "ratio"), [(1, 1 / 10), (3, 15.0), (1, 2.12), (40, 1 / 2.12), (9, 100.0), (40, 0.01)]
)
def test_split_check_cuts_a_bad_stretch_at_its_start_and_its_return(
    real_bars: pd.DataFrame, length: int, ratio: float
) -> None:
    hits = 0
    for bars, row in planted(real_bars, 30, seed=5):
        inside = (bars.index >= row) & (bars.index < row + length)
        stretch = bars.copy()
        stretch.loc[inside, PRICES] *= ratio
        stretch["volume"] = np.where(inside, bars["volume"] / ratio, bars["volume"])
        ends = {row, *([row + length] if row + length < len(bars) else [])}
        broken = {str(bars["date"][i])[:10] for i in ends}
        kept = {str(day)[:10] for day in validate(stretch).bars["date"]}
        taken = {str(day)[:10] for day in bars["date"]} - kept
        assert taken <= broken
        hits += taken == broken
    assert hits >= 0.93 * 30


@pytest.mark.parametrize("ratio", [100.0, 1 / 100])
@pytest.mark.parametrize("column", PRICES)
def test_validate_hundredfold_in_one_column_quarantines_the_bar(
    real_bars: pd.DataFrame, column: str, ratio: float
) -> None:
    for bars, row in planted(real_bars, 10, seed=6):
        broken = bars.copy()
        broken.loc[row, column] *= ratio
        kept = {str(day)[:10] for day in validate(broken).bars["date"]}
        taken = {str(day)[:10] for day in bars["date"]} - kept
        # The return of adj_close to its own unit is a step, too.
        after = bars["date"][min(row + 1, len(bars) - 1)]
        assert str(bars["date"][row])[:10] in taken
        assert taken <= {str(bars["date"][row])[:10], str(after)[:10]}
        assert len(taken) == 1 or column == "adj_close"


@pytest.mark.parametrize("scale", [100.0, 2.2696])
def test_split_check_finds_other_scale_of_quotes_without_a_trade(scale: float) -> None:
    # Bars of a suspended stock: one price a session, no volume.
    bars = make_bars(60).assign(volume=0.0)
    for name in PRICES:
        bars[name] = np.where(bars.index < 30, 0.053, 0.053 * scale)
    found = validate(bars, 1)
    assert [quarantine.first for quarantine in found.quarantines] == [str(bars["date"][30])[:10]]
    assert list(found.failed_checks.values()) == [("split",)]


def test_split_check_passes_a_special_dividend(real_bars: pd.DataFrame) -> None:
    alarms = 0
    for bars, row in planted(real_bars, 30, seed=7):
        # More than half of the price is paid out: close falls, adj_close goes on.
        paid = unsplit(bars, row, 2.24, with_adjusted=False).assign(volume=bars["volume"])
        alarms += len(validate(paid).quarantines)
    assert alarms <= 0.07 * 30  # those whose own move brings them near a split's ratio


@pytest.mark.parametrize("fall", [1 / 2, 1 / 3, 3 / 4, 1 / 2.2])
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
    factor = 0.05 + 0.95 * rng.random(80)
    bars["adj_close"] = bars["close"] * np.where(rng.random(80) < 0.8, 1.0, factor)
    bars["volume"] /= np.where(rng.random(80) < 0.7, scale, 1.0)
    bars.loc[rng.random(80) < 0.05, "volume"] = 0.0
    found = validate(bars, 0)
    values = {name: bars[name].tolist() for name in bars}
    rows: list[int] = []
    for row in range(1, 80):
        if is_listed_split(values, row) or is_other_scale(values, row, rows):
            rows.append(row)
    quarantined = {str(bars["date"][row])[:10] for row in rows}
    kept = {str(day)[:10] for day in found.bars["date"]}
    assert kept == {str(day)[:10] for day in bars["date"]} - quarantined


def log_gap(bars: dict[str, list], row: int) -> float:
    return math.log(bars["open"][row] / bars["close"][row - 1]) if row else 0.0


def log_move(bars: dict[str, list], row: int, name: str = "close") -> float:
    return math.log(bars[name][row] / bars[name][row - 1]) if row else 0.0


def is_listed_split(bars: dict[str, list], row: int) -> bool:
    """One row, in plain words of the rule for the ratios of the list."""
    opens, closes, volumes = (bars[name] for name in ("open", "close", "volume"))
    gaps = [abs(log_gap(bars, i)) for i in range(row + 1)]
    usual_gap = statistics.median(gaps[max(row - 20, 0) : row])
    usual_volume = statistics.median(volumes[max(row - 20, 0) : row])
    move = log_move(bars, row)
    step = log_move(bars, row, "adj_close") - move
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


def is_other_scale(bars: dict[str, list], row: int, splits: list[int]) -> bool:
    """One row, in plain words of the rule for any ratio and for the end of a bad stretch."""
    gap, move = log_gap(bars, row), log_move(bars, row)
    step = log_move(bars, row, "adj_close") - move
    is_jump = abs(gap) > math.log(4 / 3) - limits.SPLIT_OPEN
    if not is_jump or abs(step) > limits.SPLIT_ADJUSTED or abs(move - gap) > limits.SPLIT_CLOSE:
        return False
    reversed_jumps = [
        i
        for i in range(max(row - limits.RETURN_SESSIONS, 1), row)
        if abs(log_gap(bars, i)) > math.log(4 / 3) - limits.SPLIT_OPEN
        and abs(log_gap(bars, i) + gap) <= limits.SPLIT_OPEN
    ]
    before = reversed_jumps[-1] if reversed_jumps else None
    volume, usual = bars["volume"][row], statistics.median(bars["volume"][max(row - 20, 0) : row])
    most = limits.SPLIT_VOLUME * usual * max(1.0, math.exp(-gap))
    is_known = row >= limits.USUAL_AT_LEAST
    is_quiet = is_known and usual > 0 and volume <= most
    is_idle = is_known and volume == 0 and bars["high"][row] == bars["low"][row]
    is_scale = (is_quiet or is_idle) and abs(gap) >= math.log(2) - limits.SPLIT_OPEN
    is_end = before is not None and (before in splits or row - before <= limits.SHORT_RETURN)
    others = [
        max(abs(log_gap(bars, i)), abs(log_move(bars, i)))
        for i in range(max(row - 20, 1), row)
        if i not in splits and i != before
    ]
    size = max(abs(gap), abs(move))
    return (is_scale or is_end) and size > limits.LONE_JUMP * max(others, default=0.0)


def test_split_check_finds_split_after_a_broken_bar() -> None:
    bars = unsplit(make_bars(120), 60, 4.0)
    bars.loc[59, "close"] = np.nan
    found = validate(bars, 1)
    assert list(found.failed_checks.values()) == [("finite", "split")]
