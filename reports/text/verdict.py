"""Sentences for reports: the verdict of an evaluation, its backtest, known biases of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

SKILL_P = 0.05
# No daily forecast of a direction is known to reach this AUC.
HOPELESS_AUC = 0.60


def verdict_sentence(evaluation: Mapping[str, Any]) -> str:
    """State in one sentence whether the forecasts are better than the prior's.

    Parameters
    ----------
    evaluation : mapping
        Content of evaluation.json.

    Returns
    -------
    str
        Begins with ``Evidence of skill``, ``No evidence of skill``, or ``No chance to see skill``
        where the smallest detectable AUC is above `HOPELESS_AUC`, or there is none.
    """
    lead, detectable = evaluation["lead_over_prior"], evaluation["detectable"]
    ours = evaluation["model"]["log_loss"]
    prior = evaluation["baselines"]["prior"]["log_loss"]
    figures = f"log loss {ours:.4f} against {prior:.4f} for the prior, {_format_p(lead['p_value'])}"
    dates = f"these {lead['dates']:,} dates"
    if detectable["auc"] is None:
        return f"No chance to see skill: {detectable['reason']}; {figures} on {dates}."
    if lead["mean"] > 0 and lead["p_value"] < SKILL_P:
        return f"Evidence of skill: {figures} on {dates}{_own_prior(evaluation)}."
    word = "No evidence of skill" if detectable["auc"] <= HOPELESS_AUC else "No chance to see skill"
    limit = f"an AUC under {detectable['auc']:.2f} could not have been seen"
    return f"{word}: {figures}; {limit} on {dates}."


def _own_prior(evaluation: Mapping[str, Any]) -> str:
    own = evaluation["lead_over_prior_by_symbol"]
    if own["mean"] > 0 and own["p_value"] < SKILL_P:
        return ""
    figure = _format_p(own["p_value"])
    return f", but not over each symbol's own prior ({figure}): a base rate is no skill"


def trading_summary(evaluation: Mapping[str, Any]) -> str:
    """State the return of trading the forecasts on paper: skill is not profit.

    Parameters
    ----------
    evaluation : mapping
        Content of evaluation.json.

    Returns
    -------
    str
        One or two sentences.
    """
    traded = evaluation["backtest"]
    rule = f"a probability above {traded['threshold']:.3f}"
    if not traded["turnover"]:
        return f"Nothing was traded: no forecast reached {rule}, the threshold of the folds."
    net, cost = traded["net"], f"{traded['cost_bps']:g} bps a side"
    way = "long or short" if traded["short"] else "long or in cash"
    earned = (
        f"On paper, {way} at {rule}, {traded['sessions']:,} sessions: "
        f"{traded['gross']['total_return']:+.1%} before costs, {net['total_return']:+.1%} after "
        f"{cost} (break-even: {traded['break_even_bps']:.1f} bps); buying and holding the same "
        f"symbols made {traded['buy_and_hold']['net']['total_return']:+.1%}."
    )
    if net["total_return"] <= 0:
        return f"{earned} At this cost it could not have been traded, whatever its skill."
    interval = traded["sharpe_interval"]
    if interval is None or interval[0] <= 0:
        return f"{earned} The profit cannot be distinguished from luck: {describe_sharpe(traded)}."
    sharpe = describe_sharpe(traded)
    return f"{earned} Luck alone is unlikely to explain the profit: {sharpe}; it need not last."


def describe_sharpe(traded: Mapping[str, Any]) -> str:
    """State the model's Sharpe ratio net of costs, its interval and its deflated value."""
    ratio, interval = traded["net"]["sharpe"], traded["sharpe_interval"]
    deflated, count = traded["deflated_sharpe"], traded["trials"]["count"]
    if ratio is None:
        return "no Sharpe ratio, as returns are constant or cover less than a quarter of a year"
    spread = "too few sessions for an interval"
    if interval:
        spread = f"95 % interval {interval[0]:.2f} to {interval[1]:.2f}"
    luck = "undefined" if deflated is None else f"{deflated:.2f}"
    recipes = "1 recipe" if count == 1 else f"{count} recipes"
    return f"Sharpe ratio {ratio:.2f} ({spread}), deflated for {recipes} tried: {luck}"


def format_interval(interval: tuple[float, float] | None) -> str | None:
    """Format an interval; None stays None."""
    return None if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


def format_percent(value: float | None) -> str:
    """Format a share as a percentage; None is a dash."""
    return "-" if value is None else f"{value:.1%}"


def _format_p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def known_biases(source: str, untradable: Sequence[str] = ()) -> list[str]:
    """List the known biases of a source's data and of any backtest on daily bars.

    Parameters
    ----------
    source : str
        ``snapshot``, ``yahoo``, or a file.
    untradable : sequence of str
        Sentences of `tradability.describe_untradable` on its bars.

    Returns
    -------
    list of str
        One or two sentences for each bias.
    """
    survivors = {
        "snapshot": "Survivorship: the embedded bars are five companies that later did well. A "
        "return or an accuracy measured on them is biased upwards.",
        "yahoo": "Survivorship: Yahoo drops most delisted companies, and symbols picked today are "
        "those that did well. Returns and accuracies are biased upwards.",
    }
    unknown = (
        f"Survivorship: how the symbols of {source!r} were picked is not known here. Where those "
        "that failed or were delisted are missing, everything here is biased upwards."
    )
    return [
        survivors.get(source, unknown),
        *(f"Tradability: {sentence}." for sentence in untradable),
        "Fills: every trade is done at the official open or close, in any size, without moving the "
        "price. Taxes and the interest on cash are left out.",
        "Looks: the figures hold for the first look at these dates. Changing a setting after "
        "reading them, and running again, makes the holdout part of the search.",
    ]
