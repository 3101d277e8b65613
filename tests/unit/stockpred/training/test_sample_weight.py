"""Sample weights against loops over sessions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.training.sample_weight import decay, sample_weights, uniqueness
from stockpred.training.training_table import TrainingTable
from tests.support.data.generated_tables import generate_table

DAY = np.timedelta64(1, "D")
START = np.datetime64("2010-01-01", "s")


def looped(symbols: list[str], dates: list[int], ends: list[int]) -> list[float]:
    """Average uniqueness, session by session; a session is one that a row of the symbol names."""
    weights = []
    for symbol, date, end in zip(symbols, dates, ends, strict=True):
        own = [i for i, other in enumerate(symbols) if other == symbol]
        sessions = sorted({dates[i] for i in own} | {ends[i] for i in own})
        shares = [
            1 / sum(dates[i] < session <= ends[i] for i in own)
            for session in sessions
            if date < session <= end
        ]
        weights.append(sum(shares) / len(shares))
    return weights


@given(data=st.data(), horizon=st.sampled_from([1, 2, 5, 10]), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_uniqueness_equals_a_loop_over_sessions(
    data: st.DataObject, horizon: int, seed: int
) -> None:
    symbols, dates, ends = [], [], []
    for symbol in ("AAA", "BBB", "CCC")[: data.draw(st.integers(1, 3))]:
        # Rows of some sessions are missing: ties, the purge, a quarantined stretch.
        sessions_kept = data.draw(st.sets(st.integers(0, 40), min_size=1, max_size=30))
        symbols += [symbol] * len(sessions_kept)
        dates += sorted(sessions_kept)
        ends += [day + horizon for day in sorted(sessions_kept)]
    order = np.random.default_rng(seed).permutation(len(dates))
    symbols, dates, ends = ([column[i] for i in order] for column in (symbols, dates, ends))
    weights = uniqueness(
        np.array(symbols), START + np.array(dates) * DAY, START + np.array(ends) * DAY
    )
    np.testing.assert_allclose(weights, looped(symbols, dates, ends), rtol=1e-9)
    assert (weights > 0).all() and (weights <= 1 + 1e-12).all()


def test_weights_of_overlapping_labels_sum_to_the_number_of_independent_labels() -> None:
    table = generate_table(dates=200, symbols=3, horizon=10)
    weights = sample_weights(TrainingTable.from_frame(table), None)
    assert weights is not None
    assert weights.sum() == pytest.approx(3 * 200 / 10, rel=0.1)
    assert np.median(weights) == pytest.approx(1 / 10)


def test_labels_of_one_session_have_no_weights() -> None:
    table = generate_table(dates=300).sample(frac=0.7, random_state=0)
    assert sample_weights(TrainingTable.from_frame(table), None) is None


def test_weights_of_training_rows_ignore_later_rows() -> None:
    table = generate_table(dates=100, horizon=5).sort_values(["date", "symbol"])
    is_known = table["label_end"] < np.unique(table["date"])[60]
    alone = sample_weights(TrainingTable.from_frame(table[is_known]), None)
    # The last training labels have no later neighbour, so they count for more.
    by_date = pd.Series(alone, index=table[is_known]["date"]).groupby(level=0).mean()
    assert by_date.iloc[-1] > by_date.iloc[-10] == pytest.approx(0.2)


def test_decay_counts_sessions_not_days() -> None:
    days = START + np.array([0, 1, 4, 30]) * DAY
    np.testing.assert_allclose(decay(np.tile(days, 2), 2), np.tile([0.5**1.5, 0.5, 0.5**0.5, 1], 2))
    table = generate_table(dates=50)
    weights = sample_weights(TrainingTable.from_frame(table), 10)
    assert weights is not None
    newest = table["date"] == table["date"].max()
    assert set(weights[newest]) == {1.0} and weights[~newest].max() < 1
