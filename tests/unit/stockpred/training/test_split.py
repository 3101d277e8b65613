"""Purged walk-forward folds: toy panels, and their rules by hypothesis."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from stockpred.errors import NotEnoughData, ParameterError
from stockpred.training.split import PurgedWalkForward, holdout_start, rows_before, training_rows


def panel(sessions: int, symbols: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Dates and label ends of a panel, symbol after symbol."""
    days = np.datetime64("2010-01-01", "s") + np.arange(sessions + horizon) * np.timedelta64(1, "D")
    dates = np.tile(days[:sessions], symbols)
    return dates, np.tile(days[horizon:], symbols)


def test_split_of_a_toy_panel_gives_the_expected_folds() -> None:
    dates, ends = panel(8, 1, 1)
    folds = [(a.tolist(), b.tolist()) for a, b in PurgedWalkForward(3, 0, dates, ends).split()]
    # The session just before a test window has a label that ends in it.
    assert folds == [([0], [2, 3]), ([0, 1, 2], [4, 5]), ([0, 1, 2, 3, 4], [6, 7])]


def test_split_with_gap_and_two_symbols_gives_the_expected_folds() -> None:
    dates, ends = panel(8, 2, 1)
    folds = [(a.tolist(), b.tolist()) for a, b in PurgedWalkForward(2, 2, dates, ends).split()]
    assert folds == [([0, 1, 8, 9], [4, 5, 12, 13]), ([0, 1, 2, 3, 8, 9, 10, 11], [6, 7, 14, 15])]


@given(
    sessions=st.integers(12, 120),
    symbols=st.integers(1, 4),
    horizon=st.sampled_from([1, 3, 10]),
    folds=st.integers(2, 6),
    gap=st.integers(0, 12),
    window=st.none() | st.integers(1, 60),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_split_of_any_panel_purges_keeps_the_gap_and_tests_in_order(
    sessions: int, symbols: int, horizon: int, folds: int, gap: int, window: int | None, seed: int
) -> None:
    dates, ends = panel(sessions, symbols, horizon)
    order = np.random.default_rng(seed).permutation(len(dates))
    dates, ends = dates[order], ends[order]
    try:
        results = list(PurgedWalkForward(folds, gap, dates, ends, train_window=window).split())
    except NotEnoughData:
        first_test = sessions - folds * (sessions // (folds + 1))
        # The purge takes the window's last sessions that the gap has not taken.
        assert first_test - max(gap, horizon) <= 0 or (window or sessions) <= horizon - gap
        return
    assert len(results) == folds
    tested: list[np.datetime64] = []
    for train, test in results:
        assert len(train) and len(test)
        first = dates[test].min()
        assert ends[train].max() < first
        between = np.unique(dates[(dates > dates[train].max()) & (dates < first)])
        assert len(between) >= gap
        # Counted by hand: the sessions before the gap, and of these what the purge leaves.
        before_gap = np.unique(dates[dates < first])[: -gap or None]
        train_days = before_gap if window is None else before_gap[-window:]
        expected = np.isin(dates, train_days) & (ends < first)
        assert train.tolist() == np.flatnonzero(expected).tolist()
        assert not set(dates[train]) & set(dates[test])
        for day in np.unique(dates[test]):
            assert np.isin(np.flatnonzero(dates == day), test).all()
        tested += sorted(set(dates[test]))
    assert tested == sorted(set(tested)), "a date is tested twice or out of order"
    assert tested[-1] == dates.max()


def test_split_without_the_purge_trains_on_labels_of_the_test_window() -> None:
    # What the purge is there for: the plain walk-forward trains on labels that end in the test.
    dates, ends = panel(60, 1, 10)
    never = np.full(len(dates), np.datetime64("1990-01-01", "s"))
    [train, test] = next(iter(PurgedWalkForward(3, 0, dates, never).split()))
    assert ends[train].max() >= dates[test].min()


def test_rows_without_a_label_are_not_in_training() -> None:
    dates, ends = panel(30, 1, 1)
    ends[3] = np.datetime64("NaT")
    for train, _ in PurgedWalkForward(2, 0, dates, ends).split():
        assert 3 not in train


@pytest.mark.parametrize(
    ("folds", "gap", "sessions", "error", "words"),
    [
        (1, 0, 50, ParameterError, "folds=1: expected at least 2"),
        (3, -1, 50, ParameterError, "gap=-1: expected 0 or more"),
        (2, 0, 0, NotEnoughData, "got 0 dates"),
        (
            5,
            5,
            8,
            NotEnoughData,
            "folds=5, gap=5: expected at least 11 dates",
        ),
        (2, 0, 3, NotEnoughData, "a training row in fold 1"),
    ],
)
def test_invalid_split_raises_before_the_first_fold_with_its_numbers(
    folds: int, gap: int, sessions: int, error: type[Exception], words: str
) -> None:
    dates, ends = panel(sessions, 1, 1)
    with pytest.raises(error) as caught:
        next(PurgedWalkForward(folds, gap, dates, ends).split())
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("window", "error", "words"),
    [
        (0, ParameterError, "train_window=0: expected 1 or more"),
        (3, NotEnoughData, "train_window=3: expected a training row in fold 1"),
    ],
)
def test_empty_train_window_raises(window: int, error: type[Exception], words: str) -> None:
    dates, ends = panel(60, 1, 3)
    with pytest.raises(error, match=words):
        next(PurgedWalkForward(3, 0, dates, ends, train_window=window).split())


def test_training_rows_of_the_last_window_leave_out_unlabelled_rows() -> None:
    dates, ends = panel(20, 2, 1)
    ends[[19, 39]] = np.datetime64("NaT")
    rows = np.flatnonzero(training_rows(dates, ends, train_window=4))
    assert rows.tolist() == [16, 17, 18, 36, 37, 38]
    assert training_rows(dates, ends).sum() == 38
    assert not training_rows(dates[:0], ends[:0]).any()


def test_splitter_works_in_grid_search_cv() -> None:
    dates, ends = panel(60, 2, 1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 3)), rng.integers(0, 2, 120)
    splitter = PurgedWalkForward(3, 2, dates, ends, train_window=12)
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=splitter).fit(x, y)
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert splitter.get_n_splits() == 3


@given(dates=st.integers(2, 200), share=st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_holdout_is_the_last_share_of_dates(dates: int, share: float) -> None:
    days, _ = panel(dates, 2, 1)
    try:
        start = holdout_start(days, share)
    except NotEnoughData:
        assert np.ceil(share * dates) >= dates
        return
    holdout = np.unique(days[days >= start])
    assert len(holdout) == np.ceil(share * dates)
    assert holdout[-1] == days.max()


def test_rows_before_the_holdout_have_no_label_end_inside_it() -> None:
    dates, ends = panel(50, 2, 10)
    table = pd.DataFrame({"date": dates, "label_end": ends, "label": 1.0})
    start = holdout_start(dates, 0.2)
    assert rows_before(table, start)["label_end"].max() < start
    assert rows_before(table, start)["date"].nunique() == 30
