"""Check that a stored model loads and still gives the predictions stored with it."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stockpred.columns import DATE
from stockpred.errors import StockpredError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Predict = Callable[[Path, Iterable[pa.Table]], Iterable[pa.Table]]

EXAMPLE_ANSWER = "example_answer"
TOLERANCE = 1e-6  # of a probability: another processor may round its last bits otherwise

Columns = Mapping[str, Sequence[Any]]


def check_example(
    folder: Path, predict: "Predict | None" = None, *, tolerance: float = TOLERANCE
) -> str | None:
    """Predict a model's input example with its own code, and compare.

    Parameters
    ----------
    folder : Path
        Of the model, with its MLmodel file.
    predict : callable, optional
        (folder, requests) -> answers; default: in a process of its own.
    tolerance : float
        Largest difference of a probability.

    Returns
    -------
    str or None
        The problem in a few words; None where the predictions are the stored ones.
    """
    import pandas as pd
    import pyarrow as pa
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    from serving.model.subprocess_predict import predict_isolated

    predict = predict or predict_isolated
    try:
        stored = json.loads((folder / "artifacts" / f"{EXAMPLE_ANSWER}.json").read_text())
        example = Model.load(str(folder)).load_input_example(str(folder))
        bars = pd.DataFrame(example).assign(**{DATE: lambda rows: pd.to_datetime(rows[DATE])})
        [answer] = predict(folder, [pa.Table.from_pandas(bars, preserve_index=False)])
    except (OSError, ValueError, KeyError, MlflowException, StockpredError) as error:
        return f"it does not answer its input example: {' '.join(str(error).split())}"
    return find_difference(stored, predictions_to_lists(answer.to_pandas()), tolerance)


def predictions_to_lists(predictions: "pd.DataFrame") -> dict[str, list[Any]]:
    """Bring predictions to the stored form: column to values, dates as ISO text."""
    texts = predictions.assign(**{DATE: predictions[DATE].dt.strftime("%Y-%m-%d")})
    return {str(name): list(texts[name]) for name in texts}


def find_difference(
    stored: Columns, predicted: Columns, tolerance: float = TOLERANCE
) -> str | None:
    """Describe the first difference between stored and new predictions.

    Parameters
    ----------
    stored, predicted : mapping of str to sequence
        Column -> values; columns that are not stored are ignored. NaN equals only NaN.
    tolerance : float
        Largest difference of floats.

    Returns
    -------
    str or None
        None where there is no difference.
    """
    for column, values in stored.items():
        new_values = predicted.get(column, ())
        if len(new_values) != len(values):
            return f"it predicts {len(new_values)} values of {column}, stored are {len(values)}"
        for old, new in zip(values, new_values, strict=True):
            if not _is_same(old, new, tolerance):
                return f"for its input example it predicts {column} {new!r}, stored is {old!r}"
    return None


def _is_same(old: object, new: object, tolerance: float) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        both_nan = math.isnan(old) and math.isnan(new)
        return both_nan or math.isclose(old, new, rel_tol=0, abs_tol=tolerance)
    return old == new
