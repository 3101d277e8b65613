"""Log the model to MLflow: its code, recipe, estimator, signature and example."""

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from serving.model.estimator_files import save_estimator
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

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

MODULE = "serving.model.pyfunc"  # the module that MLflow runs of a logged model

# Packages that prediction imports; pip adds their own dependencies.
REQUIREMENTS = ("mlflow-skinny", "numpy", "pandas", "pyarrow", "scikit-learn", "skops", "ta-lib")


def log_model(  # noqa: PLR0913 - the parts of a model
    recipe: Recipe,
    estimator: Any,  # noqa: ANN401 - scikit-learn's estimators share no type
    bars: pd.DataFrame,
    trained: TrainingRange,
    *,
    code: Mapping[str, Path],
    scratch: Path,
    metadata: Mapping[str, Any],
) -> "ModelInfo":
    """Log a model to the active run.

    Parameters
    ----------
    recipe : Recipe
    estimator : estimator
        Fitted, calibrated or not.
    bars : DataFrame
        Sound bars of one symbol or more; the last sessions of the first are the input example.
    trained : TrainingRange
        Dates, rows and ranges of the features that the estimator was fitted on.
    code : mapping of str to Path
        Files to ship along, as `MODULE` imports them from a folder: all that it reaches, and no
        more, so that code that no prediction runs makes no other model.
    scratch : Path
        Folder for temporary files.
    metadata : mapping
        Further facts for the model's metadata.

    Returns
    -------
    mlflow.models.model.ModelInfo

    Raises
    ------
    StockpredError
        The model cannot predict its own example.
    """
    import mlflow
    from mlflow.models import ModelSignature

    (scratch / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=2) + "\n")
    training = scratch / "training.json"
    training.write_text(json.dumps(trained.to_dict(), indent=2) + "\n")
    files = save_estimator(estimator, scratch)
    needed = longest_lookback(recipe.feature_sets, recipe.window)
    first = bars[bars[SYMBOL] == bars[SYMBOL].iloc[0]]
    example = first.tail(needed).reset_index(drop=True)
    # Fails where the model cannot predict its own example: it is not logged then.
    answer = _stored(predict(example, recipe, estimator, trained=trained), scratch)
    with _no_bytecode(), _without_pip_warning():
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
    """Write no bytecode: MLflow imports the model from its folder and would store it."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


@contextmanager
def _without_pip_warning() -> Iterator[None]:
    """Silence MLflow's warning that it cannot pin pip, which environments of uv lack."""
    logger = logging.getLogger("mlflow.utils.environment")
    logger.addFilter(_is_not_pip_warning)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_pip_warning)


def _is_not_pip_warning(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Failed to resolve installed pip version")


def _stored(answer: pd.DataFrame, folder: Path) -> Path:
    """Write the predictions of the input example, for `example_check.check_example`."""
    path = folder / f"{EXAMPLE_ANSWER}.json"
    path.write_text(json.dumps(predictions_to_lists(answer), indent=2) + "\n")
    return path


def requirements(recipe: Recipe) -> list[str]:
    """List the packages that a model of this recipe needs, pinned to the installed versions."""
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
