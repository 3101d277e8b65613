"""Logging the model to MLflow: its code, recipe, estimator, signature and example."""

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pandas as pd

from serving.model.estimator_files import to_files
from serving.model.example_check import EXAMPLE_ANSWER, predictions_to_lists
from stockpred.bars.schema import NUMBERS
from stockpred.columns import (
    ADJ_CLOSE,
    DATE,
    DIRECTION,
    IN_RANGE,
    PROBABILITY_UP,
    SYMBOL,
    TRAINED_TO,
)
from stockpred.features.table import longest_lookback
from stockpred.models.candidates import get_candidate
from stockpred.models.recipe import Recipe
from stockpred.prediction.predict import predict
from stockpred.prediction.training_range import TrainingRange

MODULE = "serving.model.pyfunc"  # what MLflow runs of a logged model

# What prediction imports; their own needs follow.
REQUIREMENTS = ("mlflow-skinny", "numpy", "pandas", "pyarrow", "scikit-learn", "skops", "ta-lib")


def log_model(
    recipe: Recipe,
    estimator: Any,
    bars: pd.DataFrame,
    trained: TrainingRange,
    *,
    code: Mapping[str, Path],
    scratch: Path,
    metadata: Mapping[str, Any],
) -> Any:
    """Log a model to the active run.

    Parameters
    ----------
    bars : DataFrame
        Sound bars of one symbol or more; the last sessions of the first are the input example.
    trained : TrainingRange
        What the estimator was fitted on.
    code : mapping of str to Path
        Files to ship along, as `MODULE` imports them from a folder: all that it reaches, and no
        more, so that code that no prediction runs makes no other model.
    scratch : Path
        Folder for files on their way.

    Returns
    -------
    mlflow.models.model.ModelInfo
    """
    import mlflow
    from mlflow.models import ModelSignature

    (scratch / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=2) + "\n")
    training = scratch / "training.json"
    training.write_text(json.dumps(trained.to_dict(), indent=2) + "\n")
    files = to_files(estimator, scratch)
    needed = longest_lookback(recipe.feature_sets, recipe.window)
    first = bars[bars[SYMBOL] == bars[SYMBOL].iloc[0]]
    example = first.tail(needed).reset_index(drop=True)
    # What cannot answer its own example is not logged.
    answer = _stored(predict(example, recipe, estimator, trained=trained), scratch)
    with _no_bytecode(), _no_word_of_pip():
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code[f"{MODULE.replace('.', '/')}.py"]),
            code_paths=_copy_code(code, scratch / "code"),
            artifacts={
                "recipe": str(scratch / "recipe.json"),
                "training": str(training),
                EXAMPLE_ANSWER: str(answer),
                **{name: str(path) for name, path in files.items()},
            },
            signature=ModelSignature(**_signature()),
            input_example=example,
            pip_requirements=requirements(recipe),
            # Else MLflow takes up the project's own lock, with all that the pipeline needs.
            uv_project_path=str(scratch),
            metadata={
                **metadata,
                "recipe_id": recipe.id,
                "candidate": recipe.candidate,
                "horizon": recipe.horizon,
                "feature_sets": list(recipe.feature_sets),
                "features": list(trained.features),
                "lookback": needed,
                "trained_from": trained.trained_from,
                "trained_to": trained.trained_to,
                "trained_rows": trained.rows,
            },
        )


def _copy_code(code: Mapping[str, Path], folder: Path) -> list[str]:
    """Copy files into a folder under their names; return the folders at its top."""
    for name, path in code.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    return [str(path) for path in sorted(folder.iterdir())]


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """MLflow imports the model from its folder before it is stored, and would store bytecode."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


@contextmanager
def _no_word_of_pip() -> Iterator[None]:
    """MLflow warns that it cannot pin pip, which no environment made by uv has."""
    logger = logging.getLogger("mlflow.utils.environment")
    logger.addFilter(_is_of_more_than_pip)
    try:
        yield
    finally:
        logger.removeFilter(_is_of_more_than_pip)


def _is_of_more_than_pip(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Failed to resolve installed pip version")


def _stored(answer: pd.DataFrame, folder: Path) -> Path:
    """The answer to the input example as a file (see `example_check.check_example`)."""
    path = folder / f"{EXAMPLE_ANSWER}.json"
    path.write_text(json.dumps(predictions_to_lists(answer), indent=2) + "\n")
    return path


def requirements(recipe: Recipe) -> list[str]:
    """What a model of this recipe needs, pinned to what it was made with."""
    names = list(REQUIREMENTS)
    if extra := get_candidate(recipe.candidate).extra:
        # The module may come from one of several distributions, such as xgboost and xgboost-cpu.
        names.append(packages_distributions()[extra][0])
    return [f"{name}=={version(name)}" for name in names]


def _signature() -> dict[str, Any]:
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    numbers: list[Any] = [
        ColSpec(DataType.double, name, required=name != ADJ_CLOSE) for name in NUMBERS
    ]
    key: list[Any] = [ColSpec(DataType.string, SYMBOL), ColSpec(DataType.datetime, DATE)]
    answer: list[Any] = [
        ColSpec(DataType.double, PROBABILITY_UP),
        ColSpec(DataType.long, DIRECTION),
        ColSpec(DataType.boolean, IN_RANGE),
        ColSpec(DataType.string, TRAINED_TO),
    ]
    return {
        "inputs": Schema(key + numbers),
        "outputs": Schema(key + answer),
        "params": ParamSchema([ParamSpec("all_dates", DataType.boolean, False)]),
    }
