"""Universe of a model: shared symbols, exact or from a sample that fits in a tag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockpred.gate.universe import Universe, universe_of

NAMES = st.lists(st.text("AB,%: ", min_size=1, max_size=4), min_size=1, unique=True)


@given(NAMES, NAMES)
def test_shared_share_of_whole_universes_is_exact(one: list[str], other: list[str]) -> None:
    expected = len({*one} & {*other}) / len({*one} | {*other})
    assert universe_of(one).shared_share(universe_of(other)) == expected


@given(NAMES)
def test_universe_as_text_and_back_is_the_same(names: list[str]) -> None:
    universe = universe_of(names)
    assert Universe.from_text(universe.to_text(5000)) == universe


@pytest.mark.parametrize("shared", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_shared_share_of_a_sample_is_near_the_true_one(shared: float) -> None:
    symbols = [f"SYM{number}" for number in range(4000)]
    other = symbols[: int(4000 * shared)] + [f"NEW{n}" for n in range(4000 - int(4000 * shared))]
    text = universe_of(symbols).to_text(5000)
    sample = Universe.from_text(text)
    assert len(text) <= 5000 and 500 < len(sample.symbols) < sample.count == 4000
    true = len({*symbols} & {*other}) / len({*symbols} | {*other})
    assert sample.shared_share(universe_of(other)) == pytest.approx(true, abs=0.06)
    again = Universe.from_text(universe_of(other).to_text(5000))
    assert sample.shared_share(again) == pytest.approx(true, abs=0.06)
