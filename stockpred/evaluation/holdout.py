"""All that the holdout says of a recipe: figures with intervals, tests, power, a backtest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import DATE, LABEL, PRIOR, PRIOR_SYMBOL, SYMBOL
from stockpred.errors import DataError, NotEnoughData
from stockpred.evaluation.backtest import (
    ALWAYS_LONG,
    BORROW,
    EXPOSURE,
    GROSS,
    NET,
    TURNOVER,
    TradingCosts,
    buy_and_hold,
    strategy_returns,
)
from stockpred.evaluation.bootstrap import LEVEL, RESAMPLES, block_length, bootstrap
from stockpred.evaluation.bootstrap_metrics import group_intervals, metric_statistics
from stockpred.evaluation.metrics import evaluate
from stockpred.evaluation.paired_test import Lead, lead_over_column
from stockpred.evaluation.power import detectable
from stockpred.evaluation.sharpe import deflated_sharpe, moments, performance, sharpe_interval

BUY_AND_HOLD, ALWAYS = "buy_and_hold", "always_long"


@dataclass(frozen=True)
class Selection:
    """What the folds fixed before the holdout, beside the recipe.

    Attributes
    ----------
    threshold : float
        Probability above which the backtest is long.
    trials : int
        Recipes tried.
    sharpe_variance : float
        Variance of their Sharpe ratios by session, on the folds.
    """

    threshold: float = 0.5
    trials: int = 1
    sharpe_variance: float = 0.0


def read_selection(selection: Mapping[str, Any]) -> Selection:
    """From recipe.json's ``selection``; what it lacks has the defaults of `Selection`.

    Raises
    ------
    DataError
        A value is no finite number, or the count is below 1.
    """
    trials = selection.get("trials", {})
    try:
        found = Selection(
            float(selection.get("threshold", Selection.threshold)),
            int(trials.get("count", Selection.trials)),
            float(trials.get("sharpe_variance") or 0.0),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"recipe: selection is damaged ({error}); give one of train") from error
    if not np.isfinite([found.threshold, found.sharpe_variance]).all() or found.trials < 1:
        raise DataError(f"recipe: selection holds {found}; numbers and a count from 1 are wanted")
    return found


def evaluate_holdout(
    predictions: pd.DataFrame,
    horizon: int,
    chosen: Selection,
    costs: TradingCosts,
    *,
    random_state: int = 0,
) -> dict[str, Any]:
    """Judge a recipe by its predictions on the holdout.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them.
    horizon : int
        Sessions from entry to exit.
    random_state : int
        Of the bootstrap.

    Returns
    -------
    dict of str to object
        The content of evaluation.json but for recipe, source and digest of the table; JSON-ready:
        undefined figures are None, never NaN.

    Raises
    ------
    NotEnoughData
        No row has a known label.
    """
    figures = evaluate(predictions)
    if not figures["rows"]:
        raise NotEnoughData("the holdout has no row with a known label; give more dates")
    rows = predictions[predictions[LABEL].notna()]
    for key, groups in (("by_symbol", rows[SYMBOL]), ("by_year", rows[DATE].dt.year)):
        found = group_intervals(rows, groups.astype("str"), horizon, random_state)
        for name, part in figures[key].items():
            part["intervals"] = found[name]
    dates = figures["dates"]
    return {
        "holdout": {k: figures.pop(k) for k in ("rows", "dates", "first", "last", "up_share")},
        **figures,
        "intervals": {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "block_sessions": block_length(dates, horizon),
            "model": bootstrap(metric_statistics(rows), dates, horizon, random_state),
        },
        "lead_over_prior": _shown(lead_over_column(predictions, PRIOR, horizon)),
        "lead_over_prior_by_symbol": _shown(lead_over_column(predictions, PRIOR_SYMBOL, horizon)),
        "detectable": asdict(detectable(predictions, horizon)),
        "backtest": _backtest(predictions, horizon, chosen, costs, random_state),
    }


def _shown(lead: Lead) -> dict[str, float]:
    return {
        "mean": lead.mean,
        "standard_error": lead.standard_error,
        "p_value": lead.p_value,
        "worse_p_value": lead.worse_p_value,
        "dates": lead.dates,
    }


def _backtest(
    predictions: pd.DataFrame,
    horizon: int,
    chosen: Selection,
    costs: TradingCosts,
    random_state: int,
) -> dict[str, Any]:
    """The backtest's figures."""
    ours = strategy_returns(predictions, chosen.threshold, horizon, costs)
    always = strategy_returns(predictions, ALWAYS_LONG, horizon, costs)
    held = buy_and_hold(predictions, costs)
    net = ours[NET].to_numpy()
    shape = moments(net)
    return {
        "sessions": len(ours),
        "threshold": chosen.threshold,
        **asdict(costs),
        **_traded(ours),
        "sharpe_interval": sharpe_interval(net, horizon, random_state),
        "moments": shape._asdict() if shape else None,
        "deflated_sharpe": deflated_sharpe(shape, chosen.trials, chosen.sharpe_variance),
        "trials": {"count": chosen.trials, "sharpe_variance": chosen.sharpe_variance},
        ALWAYS: _traded(always),
        BUY_AND_HOLD: _traded(held),
    }


def returns_by_strategy(
    predictions: pd.DataFrame, horizon: int, threshold: float, costs: TradingCosts
) -> pd.DataFrame:
    """Compute the returns of the model and of its references by session.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them.
    horizon : int
        Sessions from entry to exit.
    threshold : float
        Probability above which the model is long.
    costs : TradingCosts

    Returns
    -------
    DataFrame
        A row a session, by date, and the columns gross and net (of the model), buy_and_hold and
        always_long (both net). Simple returns; no NaN.
    """
    ours = strategy_returns(predictions, threshold, horizon, costs)
    always = strategy_returns(predictions, ALWAYS_LONG, horizon, costs)
    held = buy_and_hold(predictions, costs)
    columns = {GROSS: ours[GROSS], NET: ours[NET], BUY_AND_HOLD: held[NET], ALWAYS: always[NET]}
    return pd.DataFrame(columns)


def _traded(returns: pd.DataFrame) -> dict[str, Any]:
    """Figures of one strategy; ``break_even_bps`` is the cost a side at which nothing is left."""
    notional = float(returns[TURNOVER].sum())
    earned = float((returns[GROSS] - returns[BORROW]).sum())
    return {
        "gross": performance(returns[GROSS].to_numpy()),
        "net": performance(returns[NET].to_numpy()),
        "turnover": float(returns[TURNOVER].mean()) if len(returns) else None,
        "exposure": float(returns[EXPOSURE].mean()) if len(returns) else None,
        "break_even_bps": earned / notional * 1e4 if notional else None,
    }
