"""Sentences for reports: the verdict of an evaluation, its backtest, known biases of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

from reports.text.numbers import format_change, format_interval, format_number, format_p

SKILL_P = 0.05
# No daily forecast of a direction is known to reach this AUC.
HOPELESS_AUC = 0.60
LOW_TURNOVER = 0.05  # of the capital a session: a position is held for weeks


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
    figures = f"log loss {ours:.4f} against {prior:.4f} for the prior, {format_p(lead['p_value'])}"
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
    figure = format_p(own["p_value"])
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
    limit = format_break_even(traded)
    way = "long or short" if traded["short"] else "long or in cash"
    gross, held = traded["gross"], traded["buy_and_hold"]["net"]
    earned = (
        f"On paper, {way} at {rule}, {traded['sessions']:,} sessions: "
        f"{format_change(gross['total_return'])} before costs, "
        f"{format_change(net['total_return'])} after {cost}"
        f"{f' (break-even: {limit} bps)' if limit else ''}; buying and holding the same symbols "
        f"made {format_change(held['total_return'])}."
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
    spread = (
        f"95 % interval {format_interval(interval)}"
        if interval
        else "too few sessions for an interval"
    )
    stated = f"Sharpe ratio {format_number(ratio, interval or (-1, 1))} ({spread})"
    if deflated is None:
        return f"{stated}; no deflated one, as the returns have too few moments"
    best = "what 1 recipe has" if count == 1 else f"what the best of {count} recipes tried has"
    return f"{stated}; the true one is above {best} by luck with probability {deflated:.2f}"


def format_break_even(strategy: Mapping[str, Any]) -> str | None:
    """Format the cost that leaves nothing; None where too little is traded for it to matter."""
    cost = strategy["break_even_bps"]
    return None if cost is None or strategy["turnover"] < LOW_TURNOVER else f"{cost:.1f}"


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
