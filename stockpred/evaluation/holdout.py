"""Evaluation on the holdout: metrics with intervals, paired tests, power, backtest."""

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
from stockpred.evaluation.paired_test import lead_over_column
from stockpred.evaluation.power import detectable
from stockpred.evaluation.sharpe import (
    deflated_sharpe,
    moments,
    performance,
    sessions_a_year,
    sharpe_interval,
)
from stockpred.targets.open_to_close import count_ties

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
    random_state : int
        Seed of the selection.
    """

    threshold: float = 0.5
    trials: int = 1
    sharpe_variance: float = 0.0
    random_state: int = 0

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Selection":
        """Read ``selection`` of recipe.json.

        Parameters
        ----------
        content : mapping
            A missing key has the default of the attribute.

        Returns
        -------
        Selection
            With finite numbers.

        Raises
        ------
        DataError
            A value is not a finite number, or a count is too low.
        """
        trials = content.get("trials", {})
        try:
            selection = cls(
                float(content.get("threshold", cls.threshold)),
                int(trials.get("count", cls.trials)),
                float(trials.get("sharpe_variance") or 0.0),
                int(content.get("seed", cls.random_state)),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(
                "recipe: selection",
                expected="numbers and trials",
                got=str(error),
                fix="give a recipe.json of train",
            ) from error
        is_finite = np.isfinite([selection.threshold, selection.sharpe_variance]).all()
        if not is_finite or selection.trials < 1 or selection.random_state < 0:
            raise DataError(
                "recipe: selection",
                expected="finite numbers, a count of trials from 1 and a seed from 0",
                got=str(selection),
                fix="give a recipe.json of train",
            )
        return selection


def evaluate_holdout(
    predictions: pd.DataFrame,
    horizon: int,
    selection: Selection,
    costs: TradingCosts,
    *,
    random_state: int = 0,
) -> dict[str, Any]:
    """Evaluate a recipe by its predictions on the holdout.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them; NaN as there.
    horizon : int
        Sessions from entry to exit.
    selection : Selection
        What was fixed before the holdout.
    costs : TradingCosts
        Of the backtest.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    dict of str to object
        evaluation.json without recipe, source and digest of the table: metrics with 95 % intervals,
        paired tests, power and backtest. JSON-ready: undefined metrics are None, never NaN.

    Raises
    ------
    NotEnoughData
        No row has a known label.
    """
    figures = evaluate(predictions)
    if not figures["rows"]:
        raise NotEnoughData(
            "holdout", expected="a row with a known label", got="none", fix="give more dates"
        )
    rows = predictions[predictions[LABEL].notna()]
    for key, groups in (("by_symbol", rows[SYMBOL]), ("by_year", rows[DATE].dt.year)):
        intervals = group_intervals(rows, groups.astype("str"), horizon, random_state)
        for name, part in figures[key].items():
            part["intervals"] = intervals[name]
    dates = figures["dates"]
    return {
        "holdout": {k: figures.pop(k) for k in ("rows", "dates", "first", "last", "up_share")}
        | {"ties": count_ties(predictions)},
        **figures,
        "intervals": {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "block_sessions": block_length(dates, horizon),
            "model": bootstrap(metric_statistics(rows), dates, horizon, random_state),
        },
        "lead_over_prior": asdict(lead_over_column(predictions, PRIOR, horizon)),
        "lead_over_prior_by_symbol": asdict(lead_over_column(predictions, PRIOR_SYMBOL, horizon)),
        "detectable": asdict(detectable(predictions, horizon)),
        "backtest": _backtest(predictions, horizon, selection, costs, random_state),
    }


def _backtest(
    predictions: pd.DataFrame,
    horizon: int,
    selection: Selection,
    costs: TradingCosts,
    random_state: int,
) -> dict[str, Any]:
    """Compute the metrics of the backtest."""
    ours = strategy_returns(predictions, selection.threshold, horizon, costs)
    always = strategy_returns(predictions, ALWAYS_LONG, horizon, costs)
    held = buy_and_hold(predictions, costs)
    net = ours[NET].to_numpy()
    net_moments = moments(net)
    sessions = sessions_a_year(np.unique(predictions[DATE].to_numpy()))
    return {
        "sessions": len(ours),
        "sessions_a_year": sessions,
        "threshold": selection.threshold,
        **asdict(costs),
        **_strategy_metrics(ours, sessions),
        "sharpe_interval": sharpe_interval(net, horizon, random_state, sessions),
        "moments": net_moments._asdict() if net_moments else None,
        "deflated_sharpe": deflated_sharpe(
            net_moments, selection.trials, selection.sharpe_variance
        ),
        "trials": {"count": selection.trials, "sharpe_variance": selection.sharpe_variance},
        ALWAYS: _strategy_metrics(always, sessions),
        BUY_AND_HOLD: _strategy_metrics(held, sessions),
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


def _strategy_metrics(returns: pd.DataFrame, sessions: float | None) -> dict[str, Any]:
    """Compute the metrics of one strategy; ``break_even_bps``: cost a side that leaves nothing."""
    notional = float(returns[TURNOVER].sum())
    earned = float((returns[GROSS] - returns[BORROW]).sum())
    return {
        "gross": performance(returns[GROSS].to_numpy(), sessions),
        "net": performance(returns[NET].to_numpy(), sessions),
        "turnover": float(returns[TURNOVER].mean()) if len(returns) else None,
        "exposure": float(returns[EXPOSURE].mean()) if len(returns) else None,
        "break_even_bps": earned / notional * 1e4 if notional else None,
    }
