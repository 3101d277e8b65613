"""Whether a stored model can be loaded and still gives the answer that was stored with it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stockpred.columns import DATE
from stockpred.errors import StockpredError

EXAMPLE_ANSWER = "example_answer"
TOLERANCE = 1e-6  # of a probability: another processor may round its last bits otherwise

Answer = Mapping[str, Sequence[Any]]  # column -> values


def check_example(folder: Path) -> str | None:
    """Put a model's stored input example to it, and compare what it says with the stored answer.

    It answers in a process of its own, with its own code.

    Parameters
    ----------
    folder : Path
        Of the model, with its MLmodel file.

    Returns
    -------
    str or None
        In a few words what is wrong; None where nothing is.
    """
    import pandas as pd
    import pyarrow as pa
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    from serving.model.subprocess_predict import predict_isolated

    try:
        stored = json.loads((folder / "artifacts" / f"{EXAMPLE_ANSWER}.json").read_text())
        example = Model.load(str(folder)).load_input_example(str(folder))
        bars = pd.DataFrame(example).assign(**{DATE: lambda rows: pd.to_datetime(rows[DATE])})
        [given] = predict_isolated(folder, [pa.Table.from_pandas(bars, preserve_index=False)])
    except (OSError, ValueError, KeyError, MlflowException, StockpredError) as error:
        return f"it does not answer its input example: {' '.join(str(error).split())}"
    return find_difference(stored, predictions_to_lists(given.to_pandas()))


def predictions_to_lists(rows: Any) -> dict[str, list[Any]]:
    """A frame of predictions as it is stored: dates as text."""
    texts = rows.assign(**{DATE: rows[DATE].dt.strftime("%Y-%m-%d")})
    return dict(texts.to_dict("list"))


def find_difference(stored: Answer, given: Answer) -> str | None:
    """The first difference between two answers; NaN equals only NaN.

    What `given` has beyond the stored columns does not count.
    """
    for column, values in stored.items():
        answer = given.get(column, ())
        if len(answer) != len(values):
            return f"its answer has {len(answer)} values of {column}, stored are {len(values)}"
        for old, new in zip(values, answer, strict=True):
            if not _same(old, new):
                return f"to its input example it answers {column} {new!r}, stored is {old!r}"
    return None


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        both_nan = math.isnan(old) and math.isnan(new)
        return both_nan or math.isclose(old, new, rel_tol=0, abs_tol=TOLERANCE)
    return bool(old == new)
