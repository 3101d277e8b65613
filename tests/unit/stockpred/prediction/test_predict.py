"""Forecasts from raw bars: as in training, independent of other bars, or refused in one line."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.errors import DataError, NotEnoughData
from stockpred.features.table import feature_columns, feature_rows
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.prediction.predict import predict
from stockpred.prediction.request import check_request
from stockpred.prediction.training_range import TrainingRange, training_range
from stockpred.training.fit import fit, probability_up
from tests.support.data.bars import make_bars

SETS = ("direction", "technical")
NEEDED = 61
PRICES = ["open", "high", "low", "close", "adj_close"]


class Model:
    """A recipe fitted on generated bars."""

    def __init__(self, candidate: str) -> None:
        self.recipe = Recipe(candidate, {}, "none", SETS, 14, 1, "code")
        bars = [make_bars(300, f"T{seed}", seed) for seed in range(3)]
        self.table = pd.concat([feature_rows(part, SETS, 14, 1) for part in bars])
        hyperparameters = {**CANDIDATES[candidate].defaults}
        hyperparameters |= {"n_estimators": 10} if "n_estimators" in hyperparameters else {}
        self.estimator = fit(self.table, candidate, hyperparameters, 0)
        self.trained = training_range(self.table)

    def ask(self, bars: pd.DataFrame, all_dates: bool = False) -> pd.DataFrame:
        return predict(bars, self.recipe, self.estimator, all_dates, trained=self.trained)


@pytest.fixture(scope="module", params=["logistic", "random_forest"])
def model(request: pytest.FixtureRequest) -> Model:
    return Model(request.param)


def rows_of(answer: pd.DataFrame) -> dict[tuple[str, Any], tuple[Any, ...]]:
    """Return (symbol, date) -> forecast, the probability by its bits."""
    return {
        (row.symbol, row.date): (row.probability_up.hex(), row.direction, row.in_range)
        for row in answer.itertuples()
    }


def test_predict_has_the_bits_of_training_time(model: Model, real_bars: pd.DataFrame) -> None:
    answer = model.ask(real_bars, all_dates=True)
    parts = [feature_rows(bars, SETS, 14, 1) for _, bars in real_bars.groupby("symbol", sort=False)]
    table = pd.concat(parts, ignore_index=True)
    assert answer["probability_up"].tolist() == probability_up(model.estimator, table).tolist()
    pd.testing.assert_frame_equal(answer[["symbol", "date"]], table[["symbol", "date"]])
    assert answer["direction"].tolist() == (answer["probability_up"] > 0.5).astype(int).tolist()
    last = answer.groupby("symbol", sort=False).tail(1).reset_index(drop=True)
    pd.testing.assert_frame_equal(model.ask(real_bars), last)


def test_predict_across_a_long_gap_has_the_bits_of_training_time(model: Model) -> None:
    bars = make_bars(400).drop(index=range(200, 260)).reset_index(drop=True)
    table = feature_rows(bars, SETS, 14, 1)
    answer = model.ask(bars, all_dates=True)
    assert answer["date"].tolist() == table["date"].tolist()
    assert answer["probability_up"].tolist() == probability_up(model.estimator, table).tolist()
    assert rows_of(model.ask(bars)).items() <= rows_of(answer).items()


def test_predict_refuses_too_few_sessions_since_a_long_gap(model: Model) -> None:
    bars = make_bars(240).drop(index=range(130, 190)).reset_index(drop=True)
    both = pd.concat([make_bars(70, "OTHER", 2), bars], ignore_index=True)
    words = "^row 201, first after a gap of more than 14 days: expected 61 .*, got 50. Fix: "
    with pytest.raises(NotEnoughData, match=words) as error:
        model.ask(both)
    assert len(str(error.value)) < 250
    # Dates before the gap have their sessions.
    dates = model.ask(bars, all_dates=True)["date"]
    assert dates.tolist() == bars["date"].iloc[NEEDED - 1 : 130].tolist()


@st.composite
def requests(draw: st.DrawFn) -> list[pd.DataFrame]:
    """Bars of a few symbols, long and short ones."""
    lengths = draw(st.lists(st.integers(NEEDED, NEEDED + 20), min_size=2, max_size=4))
    seeds = draw(st.lists(st.integers(0, 999), min_size=4, max_size=4))
    scales = draw(st.lists(st.sampled_from([1e-4, 1.0, 1e5]), min_size=4, max_size=4))
    parts = []
    for at, length in enumerate(lengths):
        bars = make_bars(length, f"S{at}", seeds[at])
        bars[PRICES] *= scales[at]
        parts.append(bars)
    return parts


@given(parts=requests(), by_date=st.booleans(), all_dates=st.booleans())
@settings(max_examples=12, deadline=None)
def test_predict_does_not_depend_on_other_symbols_and_dates(
    model: Model, parts: list[pd.DataFrame], by_date: bool, all_dates: bool
) -> None:
    together = pd.concat(parts, ignore_index=True)
    if by_date:
        together = together.sort_values("date", kind="stable", ignore_index=True)
    answer = model.ask(together, all_dates)
    alone = [model.ask(part, all_dates) for part in parts]
    assert rows_of(answer) == {k: v for part in alone for k, v in rows_of(part).items()}
    assert answer["symbol"].unique().tolist() == together["symbol"].unique().tolist()
    # Nor do bars before the look-back, or other dates of the request.
    short = [model.ask(part.tail(NEEDED)) for part in parts]
    assert all(rows_of(part).items() <= rows_of(answer).items() for part in short)


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), last=st.integers(1, 7))
@settings(max_examples=40)
def test_request_last_matches_a_loop(lengths: list[int], last: int) -> None:
    parts = [make_bars(length, f"S{at}", at) for at, length in enumerate(lengths)]
    request = check_request(pd.concat(parts), 1).last(last)
    expected = [part.tail(last) for part in parts]
    assert list(request.symbols) == [s for part in expected for s in part["symbol"]]
    assert request.bars.close.tolist() == [c for part in expected for c in part["close"]]
    assert request.sessions.tolist() == [n + 1 for part in expected for n in range(len(part))]
    assert request.bars.date.tolist() == [
        d for p in expected for d in p["date"].to_numpy().astype("datetime64[s]").tolist()
    ]


def test_in_range_matches_a_loop(model: Model) -> None:
    bars = make_bars(300, "T0", 0)
    assert model.ask(bars, all_dates=True)["in_range"].all()
    wild = bars.copy()
    wild.loc[299, ["high", "close", "adj_close"]] *= 2.0
    answer = model.ask(wild, all_dates=True)
    assert answer["in_range"].tolist() == [True] * (len(answer) - 1) + [False]
    assert answer["trained_to"].unique().tolist() == [f"{model.table['date'].max():%Y-%m-%d}"]
    # Against a loop, where some are out of range and some are not.
    other = feature_rows(make_bars(400, "X", 77), SETS, 14, 1)
    in_range = model.ask(make_bars(400, "X", 77), all_dates=True)["in_range"].tolist()
    lows, highs = model.table.min(numeric_only=True), model.table.max(numeric_only=True)
    expected = [
        all(lows[name] <= row[name] <= highs[name] for name in feature_columns(other))
        for _, row in other.iterrows()
    ]
    assert in_range == expected and {True, False} <= set(expected)


def test_training_range_survives_json(model: Model) -> None:
    content = model.trained.to_dict()
    assert TrainingRange.from_dict(content) == model.trained
    assert list(content["features"]) == feature_columns(model.table)
    assert content["rows"] == len(model.table)
    with pytest.raises(DataError, match=r"training range: .*'rows'"):
        TrainingRange.from_dict({k: v for k, v in content.items() if k != "rows"})


def broken(**changes: Any) -> pd.DataFrame:
    """Bars of two symbols, `column=(row, value)` changed."""
    bars = pd.concat([make_bars(70, "SECRET", 1), make_bars(70, "OTHER", 2)], ignore_index=True)
    for name, (row, value) in changes.items():
        if not isinstance(value, (int, float)):
            bars[name] = bars[name].astype(object)
        bars.loc[row, name] = value
    return bars


def swapped() -> pd.DataFrame:
    bars = broken()
    bars.loc[[80, 81]] = bars.loc[[81, 80]].to_numpy()
    return bars.astype(dict.fromkeys((*PRICES, "volume"), float))


REFUSED = {
    "rows: expected at least 1": lambda: broken().iloc[:0],
    "row 5, column 'symbol'": lambda: broken(symbol=(4, None)),
    "row 5, column 'symbol': expected a symbol": lambda: broken(symbol=(4, "")),
    "row 6, column 'symbol': expected a symbol": lambda: broken(symbol=(5, " \u00a0")),
    "row 5, column 'date'": lambda: broken(date=(4, pd.NaT)),
    "row 5, column 'date': .* time of day": lambda: broken(
        date=(4, pd.Timestamp("2010-01-08 09:30"))
    ),
    "row 1, column 'open': .* finite": lambda: broken(open=(0, np.nan)),
    "row 140, column 'volume': .* finite": lambda: broken(volume=(139, np.inf)),
    "row 2, column 'close': .* above 0": lambda: broken(close=(1, 0.0)),
    "row 2, column 'adj_close': .* above 0": lambda: broken(adj_close=(1, -1.0)),
    "row 3, column 'volume': .* 0 or more": lambda: broken(volume=(2, -1.0)),
    "row 3, column 'high'": lambda: broken(high=(2, 1.0)),
    "row 3, column 'high': .* open": lambda: broken(close=(2, 1e4), open=(2, 1e4)),
    "row 3, column 'low': .* close": lambda: broken(
        low=(2, broken()["high"][2]), close=(2, broken()["high"][2] * 0.9)
    ),
    "row 4, column 'date'": lambda: broken(date=(3, broken()["date"][2])),
    "row 82, column 'date'": swapped,
    "row 71, .* 61 .* 60": lambda: broken().drop(index=range(130, 140)),
    "prices and volumes": lambda: broken().assign(volume=1e308),
}


@pytest.mark.parametrize("words", REFUSED)
def test_predict_of_broken_bars_raises_one_line_without_the_data(model: Model, words: str) -> None:
    bars = REFUSED[words]()
    with pytest.raises(DataError, match=f"^{words}") as error:
        model.ask(bars)
    text = str(error.value)
    assert ". Fix: " in text
    assert "SECRET" not in text and "\n" not in text and len(text) < 200
    assert isinstance(error.value, NotEnoughData) == ("61" in words)


def test_predict_without_adj_close_uses_close(model: Model) -> None:
    bars = make_bars(80).assign(adj_close=lambda rows: rows["close"])
    plain = model.ask(bars.drop(columns="adj_close"), all_dates=True)
    pd.testing.assert_frame_equal(plain, model.ask(bars, all_dates=True))


def test_predict_accepts_float_noise_in_high_and_low(model: Model) -> None:
    bars = make_bars(80)
    top = bars[["open", "close"]].max(axis=1)
    assert len(model.ask(bars.assign(high=top * (1 - 1e-7)))) == 1
    with pytest.raises(DataError, match="column 'high'"):
        model.ask(bars.assign(high=top * (1 - 1e-5)))
