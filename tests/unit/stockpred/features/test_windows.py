"""Sums, moments and extremes of trailing windows against a loop in extended precision."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.features.windows import Windows

EXACT = np.longdouble  # 64 bits of mantissa
METHODS = ("sum", "mean", "deviation", "squares", "cubes", "products", "highest", "lowest")
series = st.builds(
    lambda seed, rows, level, spread: (
        level + spread * np.random.default_rng(seed).standard_normal(rows)
    ),
    st.integers(0, 2**16),
    st.integers(1, 90),
    st.sampled_from([0.0, 1e-8, 1.0, 1e8]),
    st.sampled_from([0.0, 1e-8, 1.0, 1e8]),
)


def expected(method: str, values: np.ndarray, window: int, row: int) -> float:
    """Compute one value from its window alone."""
    inside = values[row - window + 1 : row + 1].astype(EXACT)
    centred = inside - inside.mean()
    if method == "products":
        before = values[row - window : row].astype(EXACT)
        return float((centred * (before - before.mean())).sum())
    functions: dict[str, Callable[[], EXACT]] = {
        "sum": inside.sum,
        "mean": inside.mean,
        "deviation": inside.std,
        "squares": (centred**2).sum,
        "cubes": (centred**3).sum,
        "highest": inside.max,
        "lowest": inside.min,
    }
    return float(functions[method]())


@pytest.mark.parametrize("method", METHODS)
@given(values=series, window=st.integers(2, 70))
@settings(max_examples=25, deadline=None)
def test_window_matches_a_loop_in_extended_precision(
    method: str, values: np.ndarray, window: int
) -> None:
    result = getattr(Windows(values), method)(window)
    first = window if method == "products" else window - 1
    assert len(result) == len(values) and np.isnan(result[:first]).all()
    size = np.abs(values).max()
    spread = np.ptp(values) + 1e-15 * size
    power = {"deviation": 1, "squares": 2, "products": 2, "cubes": 3}.get(method)
    # A mean is known to the last digits of the level only, and deviations are from means.
    limit = size if power is None else spread**power + 0.1 * size * spread ** (power - 1)
    for row in range(first, len(values)):
        error = abs(result[row] - expected(method, values, window, row))
        assert error <= 1e-14 * window * limit


@pytest.mark.parametrize("method", METHODS)
@given(values=series, before=series, window=st.integers(2, 70))
@settings(max_examples=25, deadline=None)
def test_window_does_not_depend_on_values_outside_by_any_bit(
    method: str, values: np.ndarray, before: np.ndarray, window: int
) -> None:
    first = window if method == "products" else window - 1
    alone = getattr(Windows(values), method)(window)[first:]
    stack = np.concatenate([before * 1e6, [np.nan], values, [np.nan], before])
    start = len(before) + 1
    behind = getattr(Windows(stack), method)(window)[start + first : start + len(values)]
    assert behind.tobytes() == alone.tobytes()


@pytest.mark.parametrize("level", [1e-8, 0.1, 3.3, 1e8])
@pytest.mark.parametrize("window", [2, 5, 20, 59, 60])
def test_equal_values_have_exactly_no_deviation(level: float, window: int) -> None:
    windows = Windows(np.full(90, level))
    assert (windows.mean(window)[window:] == level).all()
    for method in ("deviation", "squares", "cubes", "products"):
        assert (getattr(windows, method)(window)[window:] == 0).all(), method


@pytest.mark.parametrize("level", [1.0, 1e8])
def test_deviation_of_nearly_equal_values_is_that_of_their_digits(level: float) -> None:
    # One more or less in the last digit: a difference of sums of squares would be noise.
    values = np.where(np.arange(90) % 2, level, np.nextafter(level, np.inf))
    step = np.spacing(level)
    deviation = Windows(values).deviation(20)[20:]
    assert deviation == pytest.approx(step / 2, rel=0.3)
