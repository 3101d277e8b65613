"""The bars that a model's input example is made of."""

import numpy as np

from steps.data.validation import choose_example
from stockpred.bars.schema import from_arrow, to_arrow
from tests.support.data.bars import make_bars


def test_example_is_of_the_last_bars_of_the_first_symbol() -> None:
    tables = [to_arrow(make_bars(120, symbol)) for symbol in ("AAA", "BBB")]
    assert choose_example(tables, 30).equals(tables[0].slice(90))


def test_example_ends_before_a_long_gap_with_too_few_bars_behind_it() -> None:
    bars = make_bars(120)
    bars.loc[110:, "date"] += np.timedelta64(90, "D")
    table = to_arrow(bars)
    assert choose_example([table], 30).equals(table.slice(80, 30))


def test_example_skips_a_symbol_without_enough_bars_in_a_row() -> None:
    short = make_bars(40, "AAA")
    short.loc[20:, "date"] += np.timedelta64(90, "D")
    tables = [to_arrow(short), to_arrow(make_bars(120, "BBB"))]
    assert set(from_arrow(choose_example(tables, 30))["symbol"]) == {"BBB"}
    assert choose_example(tables[:1], 30).equals(tables[0].slice(10))
