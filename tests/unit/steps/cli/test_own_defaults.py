"""Defaults that an entry point has of its own."""

import click
import pytest

from steps.cli.parameters import PARAMETERS


def test_seed_of_evaluate_is_by_default_that_of_the_recipe() -> None:
    seed = PARAMETERS["seed"]
    defaults = seed.own_defaults
    assert defaults == {"main": "0", "train": "0", "evaluate": "recipe", "daily": "0"}
    of_evaluate = seed.type_at(defaults["evaluate"])
    assert of_evaluate.convert("recipe", None, None) is None
    assert of_evaluate.convert("7", None, None) == 7
    with pytest.raises(click.BadParameter):
        seed.type_at(defaults["train"]).convert("recipe", None, None)
