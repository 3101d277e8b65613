"""Forecasts with a known truth, generated or by walk-forward, and their e-process."""

import numpy as np
import pandas as pd
from scipy.special import expit

from stockpred.gate.e_process import EProcess, date_gains, start_e_process
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.training.split import holdout_start
from stockpred.training.walk_forward import walk_forward
from tests.support.data.generated_tables import generate_table

LOGISTIC = Recipe("logistic", CANDIDATES["logistic"].defaults, "none", ("x",), 1, 1, "code")


def noise_forecasts(
    seed: int,
    dates: int,
    symbols: int = 5,
    bold: float = 0.1,
    horizon: int = 1,
    shared: float = 0.5,
) -> pd.DataFrame:
    """Generate autocorrelated forecasts, and overlapping outcomes independent of them.

    `shared` is the share of the variance common to all symbols, in forecasts and outcomes.
    """
    rng = np.random.default_rng(seed)

    def draw(rows: int) -> np.ndarray:
        common = rng.standard_normal((rows, 1))
        own = rng.standard_normal((rows, symbols))
        return np.sqrt(shared) * common + np.sqrt(1 - shared) * own

    slow = draw(dates)
    for t in range(1, dates):
        slow[t] = 0.9 * slow[t - 1] + np.sqrt(1 - 0.9**2) * slow[t]
    paths = np.cumsum(draw(dates + horizon), axis=0)
    moves = paths[horizon:] - paths[:-horizon]
    day = pd.bdate_range("2015-01-01", periods=dates).to_numpy().astype("datetime64[s]")
    return pd.DataFrame(
        {
            "symbol": [f"S{i}" for i in range(symbols)] * dates,
            "date": np.repeat(day, symbols),
            "probability_up": expit(bold * slow).ravel(),
            "prior": 0.5,
            "label": (moves > 0).astype(float).ravel(),
            "forward_return": moves.ravel() / 100,
        }
    )


def e_process_of(predictions: pd.DataFrame, horizon: int = 1) -> EProcess:
    """Compute the e-process of predictions against the base rate."""
    return start_e_process(horizon).bet(*date_gains(predictions, "prior"))


def walk_forward_forecasts(
    strength: float, seed: int, symbols: int = 5, dates: int = 2500
) -> pd.DataFrame:
    """Walk a logistic model through the holdout of a generated table; 0.5 is strong skill."""
    table = generate_table(dates=dates, symbols=symbols, strength=strength, seed=seed)
    return walk_forward(table, LOGISTIC, holdout_start(table["date"], 0.2), 250, random_state=0)
