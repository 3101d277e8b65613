"""The registered model, as MLflow runs it from code: raw bars in, a probability a symbol out.

MLflow puts the `stockpred` that was shipped with the model on the path and runs this file; a
process that predicts with a registered model must not have imported another one.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel

from serving.model.estimator_files import from_files
from stockpred.errors import StockpredError
from stockpred.models.recipe import Recipe
from stockpred.prediction.predict import predict
from stockpred.prediction.training_range import TrainingRange


class BarsModel(PythonModel):
    """Predicts from raw bars; see `stockpred.prediction.predict.predict`."""

    def load_context(self, context: Any) -> None:
        """Load recipe, training range and estimator from the model's folder."""
        recipe, trained = (
            json.loads(Path(context.artifacts[name]).read_text()) for name in ("recipe", "training")
        )
        self.recipe, self.trained = Recipe.from_dict(recipe), TrainingRange.from_dict(trained)
        self.estimator = from_files(context.artifacts, self.recipe.candidate)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer one request; what is wrong with it is one sentence, and a 400 over HTTP."""
        all_dates = bool((params or {}).get("all_dates", False))
        try:
            return predict(
                model_input, self.recipe, self.estimator, all_dates, trained=self.trained
            )
        except StockpredError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(BarsModel())
