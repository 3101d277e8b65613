"""The backtest against a loop over single trades."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.errors import DataError
from stockpred.evaluation.backtest import (
    ALWAYS_LONG,
    TradingCosts,
    buy_and_hold,
    choose_threshold,
    positions,
    strategy_returns,
)
from stockpred.evaluation.holdout import Selection, _backtest
from stockpred.evaluation.sharpe import performance
from stockpred.features.table import feature_rows
from tests.support.data.bars import make_bars

few = settings(max_examples=25, deadline=None)
FREE = TradingCosts(cost_bps=0)


def bars_of(symbols: int, sessions: int, seed: int) -> dict[str, pd.DataFrame]:
    """Bars with a dividend, the last symbol listed later than the others."""
    made = {}
    for i in range(symbols):
        bars = make_bars(sessions, f"S{i}", seed + i)
        bars.loc[: sessions // 2, "adj_close"] *= 0.97
        late = sessions // 3 if i == symbols - 1 and symbols > 1 else 0
        made[f"S{i}"] = bars.iloc[late:].reset_index(drop=True)
    return made


def predictions_of(bars: dict[str, pd.DataFrame], horizon: int, seed: int) -> pd.DataFrame:
    parts = [feature_rows(each, ["direction"], 1, horizon) for each in bars.values()]
    rows = pd.concat(parts, ignore_index=True)
    rows["probability_up"] = np.random.default_rng(seed).random(len(rows)).round(2)
    return rows.sort_values(["date", "symbol"]).reset_index(drop=True)


def symbols_on(rows: pd.DataFrame) -> dict[pd.Timestamp, int]:
    """Symbols with a row on or before a date, and one on or after it."""
    spans = rows.groupby("symbol")["date"].agg(["min", "max"])
    return {
        date: int(((spans["min"] <= date) & (spans["max"] >= date)).sum())
        for date in rows["date"].unique()
    }


def returns_by_trade(
    bars: dict[str, pd.DataFrame],
    rows: pd.DataFrame,
    threshold: float,
    horizon: int,
    costs: TradingCosts,
) -> pd.DataFrame:
    """Each trade by hand, from prices."""
    dates = sorted(rows["date"].unique())
    book = {d: dict.fromkeys(("gross", "borrow", "turnover", "exposure"), 0.0) for d in dates}
    there = symbols_on(rows)
    for row in rows.itertuples():
        own = bars[row.symbol]
        t = own.index[own["date"] == row.date][0]
        if t + horizon >= len(own):
            continue
        side = 1 if row.probability_up > threshold else 0
        if costs.short and row.probability_up < min(threshold, 1 - threshold):
            side = -1
        if not side:
            continue
        size = 1 / there[row.date] / horizon
        adjusted = own["adj_close"] / own["close"]
        paid = own["open"][t + 1] * adjusted[t + 1]
        worth = [paid, *(own["adj_close"][t + k] for k in range(1, horizon + 1))]
        for k in range(1, horizon + 1):
            line = book[own["date"][t + k]]
            line["gross"] += side * size * (worth[k] - worth[k - 1]) / paid
            line["exposure"] += size * worth[k - 1] / paid
            if side < 0:
                years = (own["date"][t + k] - own["date"][t + k - 1]).days / 365.25
                line["borrow"] += size * worth[k - 1] / paid * costs.borrow_bps / 1e4 * years
        book[own["date"][t + 1]]["turnover"] += size
        book[own["date"][t + horizon]]["turnover"] += size * worth[-1] / paid
    frame = pd.DataFrame.from_dict(book, orient="index").iloc[1:]
    cost = frame["turnover"] * costs.cost_bps / 1e4
    return frame.assign(net=frame["gross"] - frame["borrow"] - cost)


@given(
    seed=st.integers(0, 999),
    horizon=st.integers(1, 7),
    symbols=st.integers(1, 3),
    threshold=st.sampled_from([ALWAYS_LONG, 0.3, 0.5, 0.7, 1.0]),
    short=st.booleans(),
)
@few
def test_strategy_returns_equal_a_loop_over_trades(
    seed: int, horizon: int, symbols: int, threshold: float, short: bool
) -> None:
    bars = bars_of(symbols, 30, seed)
    rows = predictions_of(bars, horizon, seed)
    costs = TradingCosts(7.0, short, 300.0)
    result = strategy_returns(rows.sample(frac=1, random_state=seed), threshold, horizon, costs)
    expected = returns_by_trade(bars, rows, threshold, horizon, costs)
    assert result.index.tolist() == expected.index.tolist()
    pd.testing.assert_frame_equal(
        result[list(expected)],
        expected,
        check_index_type=False,
        check_names=False,
        check_freq=False,
        atol=1e-12,
    )


def test_turnover_at_horizon_1_is_two_sides_a_day_and_at_5_a_fifth() -> None:
    rows = predictions_of(bars_of(1, 60, 0), 1, 0)
    daily = strategy_returns(rows, ALWAYS_LONG, 1, FREE)
    assert daily["turnover"].to_numpy() == pytest.approx(2.0, abs=0.1)
    assert daily["exposure"].to_numpy() == pytest.approx(1.0)
    rows = predictions_of(bars_of(1, 60, 0), 5, 0)
    tranches = strategy_returns(rows, ALWAYS_LONG, 5, FREE)
    assert tranches["turnover"].to_numpy()[10:-10] == pytest.approx(0.4, abs=0.05)
    assert tranches["exposure"].to_numpy()[10:-10] == pytest.approx(1.0, abs=0.1)


def steady_rows(symbol: str, frequency: str, daily: float) -> pd.DataFrame:
    """Forecasts on each session of two years, all of which earn the same return."""
    dates = pd.date_range("2012-01-02", "2013-12-31", freq=frequency, unit="s")
    numbers = {"probability_up": 0.6, "forward_return": daily, "daily_return": daily}
    return pd.DataFrame({"symbol": symbol, "date": dates, **numbers})


@pytest.mark.parametrize(
    ("frequencies", "gross", "held"),
    [
        ("D", 1.001**365.25, 1.001**365.25),
        ("B", 1.001**261, 1.001**261),
        # Half of the capital earns on every day, half on weekdays.
        ("DB", 1.001**261 * 1.0005 ** (365.25 - 261), (1.001**365.25 + 1.001**261) / 2),
    ],
)
def test_backtest_of_any_calendar_has_the_true_annual_return(
    frequencies: str, gross: float, held: float
) -> None:
    parts = [steady_rows(f"S-{freq}", freq, np.log(1.001)) for freq in frequencies]
    content = _backtest(pd.concat(parts, ignore_index=True), 1, Selection(0.5), FREE, 0)
    assert content["gross"]["annual_return"] == pytest.approx(gross - 1, rel=0.02)
    assert content["buy_and_hold"]["gross"]["annual_return"] == pytest.approx(held - 1, rel=0.03)
    assert content["sessions_a_year"] == pytest.approx(261 if frequencies == "B" else 365, rel=0.01)


@pytest.mark.parametrize("frequency", ["D", "B"])
@pytest.mark.parametrize("horizon", [1, 5])
def test_borrowing_for_a_year_costs_borrow_bps_on_any_calendar(
    frequency: str, horizon: int
) -> None:
    rows = steady_rows("S", frequency, 1e-12).assign(probability_up=0.1)
    costs = TradingCosts(0.0, short=True, borrow_bps=365.25)
    borrow = strategy_returns(rows, 0.5, horizon, costs)["borrow"]
    assert borrow.loc["2013"].sum() == pytest.approx(0.0365, rel=0.02)
    mondays = borrow[borrow.index.day_of_week == 0].iloc[5:-5]
    share = 1.0 if frequency == "D" else 3.0
    assert mondays.to_numpy() == pytest.approx(share * 1e-4, rel=1e-6)


@pytest.mark.parametrize("horizon", [1, 5])
def test_positions_over_mixed_calendars_never_exceed_the_capital(horizon: int) -> None:
    rows = pd.concat([steady_rows("C", "D", 1e-9), steady_rows("S", "B", 1e-9)])
    exposure = strategy_returns(rows, ALWAYS_LONG, horizon, FREE)["exposure"].iloc[10:-10]
    weekend = exposure.index.day_of_week >= 5
    assert exposure[~weekend].to_numpy() == pytest.approx(1.0, abs=1e-6)
    assert exposure[weekend].to_numpy() == pytest.approx(0.5, abs=1e-6)


def test_end_of_a_symbol_changes_no_position_of_an_earlier_date() -> None:
    coin, stock = steady_rows("C", "D", 1e-9), steady_rows("S", "B", 1e-9)
    friday = stock["date"].iloc[200:].loc[stock["date"].dt.day_of_week == 4].iloc[0]
    ended = stock[stock["date"] <= friday]
    whole, cut = (
        strategy_returns(pd.concat([coin, rows]), ALWAYS_LONG, 1, FREE)["exposure"]
        for rows in (stock, ended)
    )
    weekend = pd.date_range(friday, periods=3)
    assert cut[: weekend[2]].equals(whole[: weekend[2]])
    assert cut[friday + pd.Timedelta(days=20)] == pytest.approx(1.0, abs=1e-6)


def test_net_return_at_the_break_even_cost_is_zero() -> None:
    rows = predictions_of(bars_of(3, 200, 1), 2, 1)
    content = _backtest(rows, 2, Selection(0.5), FREE, 0)
    cost = content["break_even_bps"]
    at_cost = strategy_returns(rows, 0.5, 2, TradingCosts(cost))
    assert at_cost["net"].sum() == pytest.approx(0, abs=1e-12)
    assert strategy_returns(rows, 0.5, 2, TradingCosts(cost + 1))["net"].sum() < 0


def test_buy_and_hold_equals_the_mean_of_symbol_values() -> None:
    bars = bars_of(2, 40, 3)
    rows = predictions_of(bars, 1, 0)
    result = buy_and_hold(rows, TradingCosts(10.0))
    worths = []
    for own in bars.values():
        closes = own.set_index("date")["adj_close"].reindex(sorted(rows["date"].unique()))
        worths.append((closes / closes.bfill().iloc[0]).fillna(1.0))
    mean = sum(worths) / 2
    np.testing.assert_allclose(result["gross"], (mean / mean.shift(1) - 1).iloc[1:], atol=1e-12)
    assert result["turnover"].tolist() == [1.0, *[0.0] * (len(result) - 2), 1.0]
    assert result["net"].iloc[0] == pytest.approx(result["gross"].iloc[0] - 0.001)


def test_at_most_one_date_gives_no_trades() -> None:
    rows = predictions_of(bars_of(1, 40, 0), 1, 0)
    assert len(strategy_returns(rows.iloc[:0], 0.5, 1, FREE)) == 0
    assert len(buy_and_hold(rows.iloc[:1], FREE)) == 0
    nothing = strategy_returns(rows.iloc[:1], 0.5, 1, FREE)
    assert len(nothing) == 0
    result = performance(nothing["net"].to_numpy(), None)
    assert result["total_return"] == 0 and result["sharpe"] is None
    assert buy_and_hold(rows.iloc[:2], FREE)["turnover"].tolist() == [2.0]


def test_missing_daily_return_raises_at_longer_horizons() -> None:
    rows = predictions_of(bars_of(1, 40, 0), 3, 0)
    for part in (rows.drop(columns="daily_return"), rows.assign(daily_return=np.nan)):
        with pytest.raises(DataError, match="column 'daily_return'"):
            strategy_returns(part, 0.5, 3, FREE)
        with pytest.raises(DataError, match="column 'daily_return'"):
            buy_and_hold(part, FREE)
    plain = rows.drop(columns="daily_return")
    assert len(strategy_returns(plain, 0.5, 1, FREE)) == len(rows) - 1


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.55, [-1, 0, 0, 1]), (0.45, [-1, 1, 1, 1]), (0.5, [-1, 0, 1, 1])]
)
def test_positions_short_only_below_the_mirrored_threshold(
    threshold: float, expected: list[int]
) -> None:
    probability = np.array([0.4, 0.5, 0.52, 0.6])
    assert positions(probability, threshold, short=True).tolist() == expected
    assert positions(probability, threshold).tolist() == [max(each, 0) for each in expected]


@pytest.mark.parametrize(
    "costs", [TradingCosts(), TradingCosts(short=True), TradingCosts(short=True, borrow_bps=2000)]
)
@pytest.mark.parametrize("horizon", [1, 3])
def test_choose_threshold_maximises_net_return(horizon: int, costs: TradingCosts) -> None:
    rows = predictions_of(bars_of(3, 150, 5), horizon, 5).dropna(subset="forward_return")
    rows.loc[rows["forward_return"] > 0.02, "probability_up"] = 0.9
    tried = [0.5, *np.quantile(rows["probability_up"], np.arange(0.05, 0.96, 0.05))]
    there = symbols_on(rows)
    spans = rows.groupby("symbol")["date"].agg(["min", "max", "size"])
    days = (spans["max"] - spans["min"]).dt.days / (spans["size"] - 1)
    net = {}
    for threshold in sorted(tried):
        net[threshold] = 0.0
        for row in rows.itertuples():
            value = np.exp(row.forward_return)
            [position] = positions(np.array([row.probability_up]), threshold, costs.short)
            years = days[row.symbol] / 365.25 * horizon
            borrowed = costs.borrow_bps * 1e-4 * years if position < 0 else 0
            cost = abs(position) * 0.0005 * (1 + value) + borrowed
            net[threshold] += (position * (value - 1) - cost) / there[row.date]
    result = choose_threshold(rows, costs, horizon)
    assert result == max(net, key=lambda threshold: net[threshold]) and result > 0.5


def test_choose_threshold_charges_no_borrowing_for_a_long_gap() -> None:
    dates = pd.bdate_range("2012-01-02", periods=100, unit="s")
    rows = pd.DataFrame({"symbol": "A", "date": dates, "probability_up": [0.4, 0.6] * 50})
    rows["forward_return"] = np.where(rows["probability_up"] < 0.5, -0.001, 0.0005)
    late = rows["date"].where(rows.index < 50, rows["date"] + pd.Timedelta(days=365))
    costs = TradingCosts(0.0, short=True, borrow_bps=1000)  # 4 bps a session, the gap left out
    assert choose_threshold(rows, costs, 1) == 0.5
    assert choose_threshold(rows.assign(date=late), costs, 1) == 0.5


def test_choose_threshold_at_high_costs_trades_least() -> None:
    rows = predictions_of(bars_of(3, 150, 5), 1, 5)
    result = choose_threshold(rows, TradingCosts(500), 1)
    assert 0 < (rows["probability_up"] > result).mean() < 0.1
    assert choose_threshold(rows.assign(forward_return=np.nan), TradingCosts(), 1) == 0.5
