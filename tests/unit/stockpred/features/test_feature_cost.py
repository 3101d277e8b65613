"""Ratios of the benchmark of features, with slack, and memory by number of symbols."""

from pathlib import Path

import pytest

from benchmarks.features.rates import compare, write_bars
from benchmarks.features.step import prepare, step_cost

pytestmark = pytest.mark.long
SESSIONS = 2500


def test_arithmetic_holds_its_ratios_to_talib_and_pandas(tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.parquet", 25, SESSIONS)
    rates = compare(tmp_path / "bars.parquet")
    assert rates.arithmetic > 0.35 * rates.talib  # 0.5 on an idle machine
    assert rates.arithmetic > 3 * rates.pandas  # 5


@pytest.mark.run
def test_step_is_faster_than_pandas_and_its_memory_does_not_grow(tmp_path: Path) -> None:
    env = prepare(tmp_path)
    costs, rows = [], []
    for symbols in (100, 600):
        rows.append(write_bars(tmp_path / "bars.parquet", symbols, SESSIONS))
        costs.append(step_cost(tmp_path / "bars.parquet", env))
    few, many = costs
    assert many.memory < min(1.1 * few.memory, 600)
    write_bars(tmp_path / "bars.parquet", 25, SESSIONS)
    added = (rows[1] - rows[0]) / (many.user - few.user)
    assert added > compare(tmp_path / "bars.parquet", rounds=3).pandas
