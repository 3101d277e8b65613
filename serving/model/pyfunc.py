"""The registered model, run by MLflow from code: raw bars in, a probability for each symbol out.

MLflow puts the `stockpred` that was shipped with the model on the path and runs this file; a
process that predicts with a registered model must not have imported another `stockpred`.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from serving.model.estimator_files import load_estimator
from stockpred.errors import StockpredError
from stockpred.models.recipe import Recipe
from stockpred.prediction.predict import predict
from stockpred.prediction.training_range import TrainingRange


class BarsModel(PythonModel):
    """Predicts from raw bars; see `stockpred.prediction.predict.predict`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load recipe, training range and estimator from the model's folder."""
        recipe, trained = (
            json.loads(Path(context.artifacts[name]).read_text()) for name in ("recipe", "training")
        )
        self.recipe, self.trained = Recipe.from_dict(recipe), TrainingRange.from_dict(trained)
        self.estimator = load_estimator(context.artifacts, self.recipe.candidate)

    def predict(
        self,
        context: PythonModelContext | None,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict one request; see `stockpred.prediction.predict.predict`.

        Parameters
        ----------
        context : PythonModelContext, optional
            Not used.
        model_input : DataFrame
            Raw bars.
        params : dict, optional
            ``all_dates``: predict every session with enough history, not only each symbol's last.

        Returns
        -------
        DataFrame

        Raises
        ------
        MlflowException
            The bars break a rule, in one sentence; a 400 over HTTP.
        """
        all_dates = bool((params or {}).get("all_dates", False))
        try:
            return predict(
                model_input, self.recipe, self.estimator, all_dates, trained=self.trained
            )
        except StockpredError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(BarsModel())
