"""Outcomes of forecasts against loops; metrics by date, week, symbol and version; drift."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, pearsonr
from scipy.stats import t as student

from stockpred.features.table import feature_rows
from stockpred.monitoring.drift import distance, drift
from stockpred.monitoring.live_metrics import (
    compare_versions,
    hit_interval,
    latest_by_symbol,
    mean_with_interval,
    metrics_by_date,
    metrics_by_week,
    overall_metrics,
)
from stockpred.monitoring.outcomes import gather_outcomes, join_outcomes
from tests.support.data.bars import make_bars

NAMES = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")


def tables(horizon: int = 1, sessions: int = 60) -> list[pd.DataFrame]:
    return [
        feature_rows(make_bars(sessions, name, seed), ("direction",), 3, horizon)
        for seed, name in enumerate(NAMES)
    ]


def ledger(panel: list[pd.DataFrame], last: int = 20, version: str = "1") -> pd.DataFrame:
    """A forecast of each symbol on each of the last dates."""
    rng = np.random.default_rng(int(version))
    rows = pd.concat([table[["symbol", "date"]].tail(last) for table in panel], ignore_index=True)
    p = 0.5 + 0.1 * rng.standard_normal(len(rows)).clip(-3, 3)
    return rows.assign(
        probability_up=p, direction=(p > 0.5).astype(int), in_range=True, model_version=version
    )


@given(horizon=st.integers(1, 6), last=st.integers(1, 25))
@settings(max_examples=6, deadline=None)
def test_join_outcomes_labels_and_priors_equal_a_loop(horizon: int, last: int) -> None:
    panel = tables(horizon)
    forecasts = ledger(panel, last)
    result = join_outcomes(forecasts, gather_outcomes(iter(panel), forecasts["date"].unique()))
    assert len(result) == len(forecasts)
    whole_table = pd.concat(panel)
    for row in result.itertuples():
        mine = whole_table[(whole_table.symbol == row.symbol) & (whole_table.date == row.date)]
        assert row.label == mine.label.item() or (np.isnan(row.label) and mine.label.isna().item())
        # Known by the close of the date, of all symbols.
        past = whole_table[(whole_table.label_end <= row.date) & whole_table.label.notna()]
        assert row.prior == pytest.approx((past.label.sum() + 1) / (len(past) + 2))
    assert result["label"].isna().sum() >= min(horizon, last) * len(NAMES)


def test_forecast_without_a_bar_has_no_outcome() -> None:
    panel = tables()
    forecasts = ledger(panel)
    other = forecasts.iloc[:1].assign(symbol="ZZZ")
    result = join_outcomes(
        pd.concat([forecasts, other]), gather_outcomes(panel, forecasts["date"].unique())
    )
    assert result.loc[result["symbol"] == "ZZZ", "label"].isna().all()
    assert len(result) == len(forecasts) + 1
    before = join_outcomes(
        forecasts.iloc[:1].assign(date=np.datetime64("2000-01-03", "s")),
        gather_outcomes(panel, [np.datetime64("2000-01-03", "s")]),
    )
    assert before["prior"].item() == 0.5


@pytest.fixture(scope="module")
def record() -> pd.DataFrame:
    panel = tables(1, 120)
    forecasts = ledger(panel, 90)
    return join_outcomes(forecasts, gather_outcomes(panel, forecasts["date"].unique())).dropna(
        subset="label"
    )


def test_metrics_by_date_equal_a_loop(record: pd.DataFrame) -> None:
    days = metrics_by_date(record)
    assert list(days.index) == sorted(record["date"].unique())
    for date, part in record.groupby("date"):
        p = np.where(part.label == 1, part.probability_up, 1 - part.probability_up)
        q = np.where(part.label == 1, part.prior, 1 - part.prior)
        day = days.loc[date]
        assert day["rows"] == len(part)
        assert day["log_loss"] == pytest.approx(-np.log(p).mean())
        assert day["lead"] == pytest.approx(np.log(p / q).mean())
        assert day["accuracy"] == pytest.approx((p > 0.5).mean())
        assert day["gap"] == pytest.approx((part.probability_up - part.label).mean())
        assert day["ic"] == pytest.approx(pearsonr(part.probability_up, part.forward_return)[0])
    few = metrics_by_date(record[record["symbol"] < "DDD"])
    assert few["ic"].isna().all()


def test_metrics_by_week_cover_all_rows_with_student_intervals(record: pd.DataFrame) -> None:
    weeks = metrics_by_week(record, 1)
    assert sum(week["rows"] for week in weeks) == len(record)
    assert sum(week["dates"] for week in weeks) == record["date"].nunique()
    starts = pd.to_datetime([week["week"] for week in weeks])
    assert (starts.day_of_week == 0).all() and (np.diff(starts) == pd.Timedelta(days=7)).all()
    days = metrics_by_date(record)
    first = days[(days.index >= starts[1]) & (days.index < starts[2])]
    assert len(first) == 5 and len(weeks) > 10
    figure = weeks[1]["accuracy"]
    assert figure["mean"] == pytest.approx(first["accuracy"].mean())
    # Diebold and Mariano's small-sample factor at a horizon of 1 turns n into n - 1.
    wide = student.ppf(0.975, 4) * first["accuracy"].std(ddof=1) / np.sqrt(5)
    assert figure["interval"] == pytest.approx((figure["mean"] - wide, figure["mean"] + wide))
    [alone] = metrics_by_week(record[record["date"].isin(days.index[:2])], 1)
    assert alone["lead"]["interval"] is None and alone["lead"]["mean"] is not None
    assert metrics_by_week(record.iloc[:0], 1) == []


def test_weekly_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(0)
    is_covered = []
    for _ in range(400):
        low, high = mean_with_interval(np.arange(5), rng.standard_normal(5) + 3, 1)[1] or (0, 0)
        is_covered.append(low <= 3 <= high)
    assert 0.92 <= np.mean(is_covered) <= 0.98
    assert mean_with_interval(np.arange(3), np.full(3, np.nan), 1) == (None, None)


def test_hit_interval_is_wilsons_and_wider_where_outcomes_overlap() -> None:
    exact = binomtest(7, 12).proportion_ci(0.95, "wilson")
    assert hit_interval(7 / 12, 12, 1) == pytest.approx((exact.low, exact.high))
    assert hit_interval(7 / 12, 60, 5) == pytest.approx((exact.low, exact.high))
    for hits in (0, 4):  # an interval by Student's t has no width here
        low, high = hit_interval(hits / 4, 4, 1)
        assert 0 <= low <= hits / 4 <= high <= 1 and high - low > 0.4


def test_hit_interval_covers_the_rate_of_few_outcomes() -> None:
    for rate, count in ((0.53, 4), (0.53, 9), (0.65, 25)):
        hits = np.arange(count + 1)
        covers = [
            low <= rate <= high for low, high in (hit_interval(k / count, count, 1) for k in hits)
        ]
        assert binom.pmf(hits, count, rate) @ covers >= 0.91


def test_overall_metrics_are_those_of_all_rows(record: pd.DataFrame) -> None:
    result = overall_metrics(record, 1)
    assert result["rows"] == len(record)
    p = np.where(record.label == 1, record.probability_up, 1 - record.probability_up)
    assert result["log_loss"]["mean"] == pytest.approx(-np.log(p).mean())
    low, high = result["log_loss"]["interval"]
    assert low < result["log_loss"]["mean"] < high
    assert result["lead"]["mean"] == pytest.approx(metrics_by_date(record)["lead"].mean())
    assert overall_metrics(record.iloc[:0], 1)["rows"] == 0
    short = overall_metrics(record[record["date"] <= record["date"].unique()[2]], 1)
    assert short["accuracy"]["interval"] is None and short["accuracy"]["mean"] is not None


def test_latest_by_symbol_has_the_newest_forecast_and_hit_rate(record: pd.DataFrame) -> None:
    open_rows = record.assign(label=record["label"].mask(record["date"] == record["date"].max()))
    latest = latest_by_symbol(open_rows, 1)
    assert [entry["symbol"] for entry in latest] == list(NAMES)
    for entry in latest:
        mine = record[record["symbol"] == entry["symbol"]]
        past = mine[mine["date"] < record["date"].max()]
        assert entry["outcomes"] == len(past)
        hits = (past["probability_up"] > 0.5) == (past["label"] == 1)
        assert entry["hit_rate"] == pytest.approx(hits.mean())
        assert entry["interval"][0] <= entry["hit_rate"] <= entry["interval"][1]
        assert entry["probability_up"] == mine["probability_up"].iloc[-1]
        assert entry["date"] == f"{record['date'].max():%Y-%m-%d}"


def test_compare_versions_uses_common_forecasts(record: pd.DataFrame) -> None:
    label = record["label"].to_numpy()
    knows = record.assign(model_version="2", probability_up=0.5 + 0.2 * (label - 0.5))
    same = record.iloc[:60].assign(model_version="3")
    elsewhere = record.assign(model_version="4", symbol="ZZZ")
    result = compare_versions(record, pd.concat([knows, same, elsewhere]), 1)
    assert [entry["version"] for entry in result] == ["2", "3"]
    better, equal = result
    assert better["lead"] > 0 and better["p_value"] < 0.01
    assert better["interval"][0] < better["lead"] < better["interval"][1]
    assert (equal["lead"], equal["rows"], equal["p_value"]) == (0.0, 60, 1.0)


def test_drift_distance_is_in_standard_deviations() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(4000) * 3
    assert distance(x, x) == 0.0
    assert distance(x, x + 1.5) == pytest.approx(1.5 / x.std())
    assert distance(x * 7, (x + 1.5) * 7) == pytest.approx(1.5 / x.std())
    assert distance(np.append(x, np.nan), x) == 0.0
    assert distance(np.ones(5), x) is None and distance(x, np.empty(0)) is None
    result = drift({"a": x, "b": x, "c": x}, {"a": x + 1, "b": x - 6, "d": x})
    assert [entry["name"] for entry in result] == ["b", "a"]
    assert result[0]["current_mean"] == pytest.approx(x.mean() - 6)
