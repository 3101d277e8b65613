"""Live forecasts with outcomes, whose skill meets its expected lead or is lost."""

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from stockpred.gate.expected_lead import ExpectedLead, expected_lead
from stockpred.monitoring.change_detector import supported_share
from stockpred.monitoring.record import Version

AUC_057 = 0.25  # standard deviation of the logit of a true forecast with an AUC of 0.57
HOLDOUT = 500


def live_forecasts(
    seed: int,
    dates: int,
    truth: float | np.ndarray = 1.0,
    *,
    symbols: int = 20,
    bold: float = AUC_057,
    shared: float = 0.0,
    horizon: int = 1,
) -> pd.DataFrame:
    """Generate forecasts; outcomes follow their logit times `truth`, a scalar or one a date.

    `bold` is the standard deviation of the logit. `shared` is the share of the forecasts' variance
    common to all symbols; for outcomes it is 0.3. Windows of `horizon` dates overlap.
    """
    rng = np.random.default_rng(seed)

    def draw(share: float) -> np.ndarray:
        common = rng.standard_normal((dates + horizon - 1, 1))
        own = rng.standard_normal((dates + horizon - 1, symbols))
        mixed = np.sqrt(share) * common + np.sqrt(1 - share) * own
        kernel = np.ones(horizon) / np.sqrt(horizon)
        return np.apply_along_axis(np.convolve, 0, mixed, kernel, "valid")

    logit = bold * draw(shared)
    label = ndtr(draw(0.3)) < expit(logit * np.reshape(truth, (-1, 1)))
    day = pd.bdate_range("2015-01-01", periods=dates).to_numpy().astype("datetime64[s]")
    return pd.DataFrame(
        {
            "symbol": [f"S{i}" for i in range(symbols)] * dates,
            "date": np.repeat(day, symbols),
            "probability_up": expit(logit).ravel(),
            "prior": 0.5,
            "label": label.astype(float).ravel(),
        }
    )


def with_expected_lead(
    seed: int, record: pd.DataFrame, horizon: int = 1, **options: float
) -> pd.DataFrame:
    """Add the supported share, given the expected lead of a holdout of the same kind."""
    before = live_forecasts(seed + 10_000, HOLDOUT, horizon=horizon, **options)  # type: ignore[arg-type]
    return record.assign(supported_share=supported_share(expected_lead(before, horizon)))


def record_losing_skill(seed: int, before: int, **options: float) -> pd.DataFrame:
    """Generate a record whose skill ends after `before` dates; 120 dates without follow."""
    truth = np.repeat([1.0, 0.0], [before, 120])
    return with_expected_lead(seed, live_forecasts(seed, before + 120, truth, **options), **options)  # type: ignore[arg-type]


CERTAIN_LEAD = ExpectedLead(0.0078, 0.001, "2014-12-31", 0.0078)


CHAMPION = Version("1", "a", "2014-12-31", CERTAIN_LEAD)


DAYS = pd.bdate_range("2014-01-01", "2017-12-29").to_numpy().astype("datetime64[s]")


def scored_rows(rows: pd.DataFrame, version: str = "1") -> pd.DataFrame:
    """Add the columns of forecasts that the ledger joined with their outcomes."""
    return rows.drop(columns="supported_share", errors="ignore").assign(
        model_version=version,
        direction=(rows["probability_up"] > 0.5).astype(int),
        in_range=1.0,
        late=False,
        forward_return=(rows["label"] - 0.5) * 0.01,
    )
