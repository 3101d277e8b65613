"""Sequential looks: each date counts once, each hypothesis has its share of the level."""

import numpy as np
import pandas as pd
import pytest

from stockpred.gate.e_process import STAKES
from stockpred.gate.sequential_looks import (
    Hypothesis,
    Look,
    LookData,
    add_look,
    alpha_share,
    hypothesis_of,
    reserve_look,
)
from tests.support.data.forecasts import noise_forecasts

BOTH = ("prior", "prior_symbol")


def predictions(dates: int = 120, symbols: int = 3, seed: int = 0) -> pd.DataFrame:
    return noise_forecasts(seed, dates, symbols, 0.5).assign(prior_symbol=0.52)


def until(rows: pd.DataFrame, dates: int) -> pd.DataFrame:
    return rows[rows["date"] < np.unique(rows["date"])[dates]] if dates else rows.iloc[:0]


def look_at(rows: pd.DataFrame, record: list[Look], data: str, recipe: str = "r" * 64) -> Look:
    return add_look(record, hypothesis_of(recipe, rows), LookData(rows, BOTH, data, 1))


def test_consecutive_looks_equal_one_look_at_all_data() -> None:
    rows = predictions()
    record: list[Look] = []
    for night, dates in enumerate((60, 61, 66, 119)):
        # As in the registry: each look is read back from what was written.
        record.append(
            Look.from_text(look_at(until(rows, dates), record, f"data {night}").to_text())
        )
        assert record[-1].looks == night + 1
    last, once = record[-1], look_at(until(rows, 119), [], "all")
    assert (last.first, last.last, last.index) == (once.first, once.last, 1)
    for name in BOTH:
        assert last.e_processes[name].dates == 119
        assert last.e_processes[name].log_e_value == pytest.approx(
            once.e_processes[name].log_e_value
        )


def test_look_at_the_same_data_is_not_counted_and_old_dates_add_no_evidence() -> None:
    rows = predictions()
    first = look_at(rows, [], "data")
    assert look_at(rows, [first], "data") == first
    # What a date was bet on with stays, whatever a later run predicts for it.
    changed = rows.assign(probability_up=rows["label"].clip(0.1, 0.9))
    for again in (changed, until(changed, 50)):
        second = look_at(again, [first], "other")
        assert second.e_processes == first.e_processes
        assert (second.looks, second.first, second.last) == (2, first.first, first.last)


def test_dates_between_two_looks_of_a_recipe_are_counted() -> None:
    rows = predictions()
    first = look_at(until(rows, 40), [], "a")
    later = rows[rows["date"] >= np.unique(rows["date"])[30]]
    second = look_at(later, [first], "b")
    assert second.e_processes["prior"].dates == 120


def test_each_hypothesis_has_its_own_share_of_the_level() -> None:
    rows = predictions()
    record = [look_at(rows, [], "data", recipe="a" * 64)]
    record.append(look_at(rows, record, "data", recipe="b" * 64))
    record.append(look_at(rows[rows["symbol"] != "S0"], record, "data", recipe="a" * 64))
    beaten = hypothesis_of("c" * 64, rows, against="a" * 64)
    record.append(add_look(record, beaten, LookData(rows, ("prior",), "data", 1)))
    assert [look.index for look in record] == [1, 2, 3, 1]
    assert record[0].adjusted_p_value == min(1, 2 * record[0].p_value)
    assert look_at(rows, record, "more", recipe="a" * 64).index == 1
    shares = [alpha_share(k) for k in range(1, 10_000)]
    assert shares[0] == 0.5 and sum(shares) < 1 and shares == sorted(shares, reverse=True)


def test_reserved_look_keeps_its_index_until_the_look() -> None:
    rows = predictions()
    mine, other = hypothesis_of("a" * 64, rows), hypothesis_of("b" * 64, rows)
    look = add_look(
        [reserve_look(other), reserve_look(mine)], mine, LookData(rows, BOTH, "data", 1)
    )
    assert (look.index, look.looks) == (2, 1)
    assert (
        add_look(
            [reserve_look(other), reserve_look(mine), look], mine, LookData(rows, BOTH, "data", 1)
        )
        == look
    )


def test_concurrent_looks_are_both_counted() -> None:
    rows = predictions()
    first = look_at(until(rows, 60), [], "0")
    one, other = look_at(until(rows, 70), [first], "1"), look_at(until(rows, 71), [first], "2")
    third = look_at(until(rows, 72), [one, other], "3")
    assert (one.looks, other.looks, third.looks) == (2, 2, 4)
    assert third.e_processes["prior"].dates == 72


def test_p_value_is_that_of_the_stronger_reference() -> None:
    rows = predictions()
    rows["probability_up"] = 0.3 + 0.4 * rows["label"]
    rows["prior_symbol"] = rows["probability_up"]  # the symbol's base rate knows as much
    result = look_at(rows, [], "data")
    assert result.e_processes["prior"].p_value < 0.001
    assert result.p_value == 1.0 and result.log_e_value == 0.0


def test_date_without_outcomes_of_all_symbols_is_not_looked_at() -> None:
    rows = predictions(dates=60)
    last, before = np.unique(rows["date"])[[-1, -2]]
    late = (rows["symbol"] == "S0") & (rows["date"] >= before)
    rows.loc[(rows["date"] == last) | late, ["label", "forward_return"]] = np.nan
    result = look_at(rows, [], "data")
    assert result.e_processes["prior"].dates == 58
    assert result.last < f"{before}"
    # One that ended long ago holds nobody up; a tie has an outcome, and no label.
    ended = predictions(dates=60)
    is_delisted = (ended["symbol"] == "S0") & (ended["date"] >= np.unique(ended["date"])[30])
    ended = ended[~is_delisted | (ended["date"] == np.unique(ended["date"])[30])]
    ended.loc[is_delisted, ["label", "forward_return"]] = np.nan
    ended.loc[ended["date"] == last, "label"] = np.nan
    assert look_at(ended, [], "data").e_processes["prior"].dates == 59


def test_look_at_any_horizon_fits_in_a_tag() -> None:
    rows = predictions(dates=400, symbols=2)
    for horizon in (1, 2, 21, 252):
        result = add_look(
            [], hypothesis_of("r" * 64, rows), LookData(rows, BOTH, "d" * 64, horizon)
        )
        assert result.e_processes["prior"].dates > 0
        assert len(result.to_text()) < 2500 and Look.from_text(result.to_text()) == result
        assert len(result.e_processes["prior"].block) == len(STAKES)


def test_look_without_outcomes_gives_no_evidence() -> None:
    rows = predictions(dates=5).assign(label=np.nan)
    result = look_at(rows, [], "data")
    assert (result.p_value, result.adjusted_p_value, result.looks) == (1.0, 1.0, 1)
    assert result.to_dict()["dates"] == 0 and result.last == ""
    assert look_at(predictions(dates=5), [result], "more").e_processes["prior"].dates == 5


def test_hypothesis_does_not_depend_on_row_order() -> None:
    rows = predictions()
    assert hypothesis_of("r", rows) == hypothesis_of("r", rows.iloc[::-1])
    assert hypothesis_of("r", rows).id != hypothesis_of("r", rows, "champion").id
    assert Hypothesis("a", "b", "c").id != Hypothesis("a", "bc", "").id
