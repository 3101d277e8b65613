"""Page of the evaluation: verdict and question, figures for a quant, recipe for an engineer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.pages.html import (
    bullets,
    code,
    facts,
    folded,
    heading,
    note,
    page,
    paragraph,
    pictures,
    side_by_side,
    table,
)
from reports.plots.evaluation import HEADLINE
from reports.plots.figure import Picture
from reports.text.counts import count_of
from reports.text.numbers import (
    decimals_of,
    format_change,
    format_interval,
    format_number,
    format_p,
    format_percent,
)
from reports.text.ties import describe_ties
from reports.text.verdict import (
    describe_sharpe,
    format_break_even,
    known_biases,
    trading_summary,
    verdict_sentence,
)

SHOWN = 50  # rows of a table; evaluation.json has them all
NAMED = 8  # symbols in the question
_SCORES = {
    "log_loss": "log loss, nats",
    "brier": "Brier score",
    "roc_auc": "ROC AUC",
    "calibration_error": "calibration error",
    "ic": "information coefficient",
    "rank_ic": "rank information coefficient",
}
_DIRECTIONS = {
    "accuracy": "accuracy",
    "matthews": "Matthews correlation",
    "precision_up": "precision of up",
    "recall_up": "recall of up",
    "f1_up": "F1 of up",
    "precision_down": "precision of down",
    "recall_down": "recall of down",
    "f1_down": "F1 of down",
}
_PRIORS = {"prior": "prior", "prior_symbol": "prior by symbol"}
_RULES = {
    "majority": "commoner label",
    "last_direction": "last direction",
    "always_up": "always up",
}
_CALIBRATION = {
    "reliability": "part of the Brier score that recalibration would remove; 0 is best",
    "resolution": "part removed by separating likely from unlikely; more is better",
    "uncertainty": "part of the outcomes alone",
    "slope": "of a logistic recalibration; 1 is perfect, below 1 too bold",
    "intercept": "of the same; 0 is perfect",
}
_PICTURES = {
    HEADLINE: "Two curves over the dates of the holdout: the cumulative lead in log loss over the "
    "prior, and below it the worth of one unit traded by the model, beside buying and holding.",
    "roc.png": "ROC curve of the holdout.",
    "calibration.png": "Observed share of ups against the forecast probability, in ten bins.",
    "by_symbol.png": "ROC AUC of each symbol with its interval, as in the table.",
    "by_year.png": "ROC AUC of each year with its interval, as in the table.",
    "equity.png": "Worth of one unit through the holdout: model before and after costs, buying and "
    "holding, always long.",
    "importances.png": "Importance of the features on the folds, largest first.",
}


def render_evaluation_page(
    evaluation: Mapping[str, Any],
    images: Mapping[str, Picture],
    source: str,
    repeat: str,
    *,
    untradable: Sequence[str] = (),
) -> str:
    """Render the page of an evaluation.

    Parameters
    ----------
    evaluation : mapping
        Content of evaluation.json.
    images : mapping of str to Picture
        File name to picture, as `reports.plots.evaluation` draws them; a missing one is left out.
    source : str
        Source of the bars, as the parameter names it.
    repeat : str
        Commands that make the same page again.
    untradable : sequence of str
        Sentences of `tradability.describe_untradable` on its bars.

    Returns
    -------
    str
        A self-contained HTML document.
    """
    holdout, recipe = evaluation["holdout"], evaluation["recipe"]
    return page(
        f"Holdout of {recipe['candidate']}, {holdout['first']} to {holdout['last']}",
        [
            paragraph(verdict_sentence(evaluation), lead=True),
            paragraph(trading_summary(evaluation), lead=True),
            side_by_side(
                _shown(images, HEADLINE),
                "".join(
                    [
                        heading("The question"),
                        *_question(evaluation, source),
                        facts(_key_figures(evaluation)),
                    ]
                ),
            ),
            note(
                "The prior is the share of ups so far: the forecast of someone who knows nothing "
                "else. A lead over it that grows steadily is skill; one that comes from few dates "
                "need not be. Skill is not profit: costs decide."
            ),
            heading("Limits of these figures", 3),
            bullets(known_biases(source, untradable)),
            heading("For a quant"),
            *_scores(evaluation),
            heading("Calibration", 3),
            *_calibration(evaluation),
            _shown(images, "roc.png", "calibration.png"),
            heading("By symbol and by year", 3),
            _shown(images, "by_symbol.png", "by_year.png"),
            *_groups(evaluation),
            heading("The backtest", 3),
            _shown(images, "equity.png"),
            *_backtest(evaluation["backtest"]),
            folded(
                "For the engineer: recipe, folds, how to repeat it",
                _engineering(evaluation, images, repeat),
            ),
        ],
    )


def _shown(images: Mapping[str, Picture], *names: str) -> str:
    return pictures((_PICTURES[name], images[name]) for name in names if name in images)


def _question(evaluation: Mapping[str, Any], source: str) -> Iterable[str]:
    """State what is predicted, of what, from what, when, and by which recipe."""
    holdout, recipe = evaluation["holdout"], evaluation["recipe"]
    horizon = recipe["horizon"]
    symbols = list(evaluation["by_symbol"])
    named = ", ".join(symbols[:NAMED])
    more = f" and {len(symbols) - NAMED:,} more" if len(symbols) > NAMED else ""
    exit_close = "its close" if horizon == 1 else f"the close {horizon} sessions after today's"
    bars = {
        "snapshot": "the embedded daily bars (source=snapshot)",
        "yahoo": "daily bars of Yahoo (source=yahoo)",
    }.get(source, f"daily bars of {source}")
    yield paragraph(
        f"After the close of each session: will the price rise from the next session's open to "
        f"{exit_close}? Asked of {count_of(len(symbols), 'symbol')} ({named}{more}), from {bars}."
    )
    yield paragraph(
        f"Answered by {recipe['candidate']} with the feature sets "
        f"{', '.join(recipe['feature_sets'])}, chosen on the dates before {holdout['first']}. The "
        f"holdout, to {holdout['last']}, has {count_of(holdout['rows'], 'forecast')} on "
        f"{count_of(holdout['dates'], 'date')}, each by a fit that had not seen its date; "
        f"{format_percent(holdout['up_share'])} of the outcomes were up. "
        f"{describe_ties(holdout['ties'], holdout['rows'])}."
    )


def _key_figures(evaluation: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    model, intervals = evaluation["model"], evaluation["intervals"]["model"]
    lead, traded = evaluation["lead_over_prior"], evaluation["backtest"]
    mean = format_number(lead["mean"], _spread(lead["standard_error"])) or "0"
    yield (
        "Lead in log loss over the prior",
        f"{mean} nats" if float(mean) else "about 0",
        f"{format_p(lead['p_value'])}, one-sided",
    )
    for name, words, chance in (
        ("roc_auc", "Ranking (ROC AUC)", "0.5 is chance"),
        ("accuracy", "Directions right", _rule_of_thumb(evaluation)),
    ):
        interval, is_share = intervals.get(name), name == "accuracy"
        shown = format_percent(model[name]) if is_share else format_number(model[name], interval)
        bounds = interval and tuple(100 * bound for bound in interval) if is_share else interval
        spread = f"95 % interval {format_interval(bounds)}; " if bounds else ""
        yield words, shown or "undefined", f"{spread}{chance}"
    net, held = traded["net"]["total_return"], traded["buy_and_hold"]["net"]["total_return"]
    yield "Return net of costs", format_change(net), f"buying and holding: {format_change(held)}"


def _rule_of_thumb(evaluation: Mapping[str, Any]) -> str:
    return f"the commoner label: {format_percent(evaluation['baselines']['majority']['accuracy'])}"


def _scores(evaluation: Mapping[str, Any]) -> Iterable[str]:
    intervals = evaluation["intervals"]
    yield _metrics(evaluation, _SCORES, _PRIORS, "Probabilities: scores and their 95 % intervals")
    yield _metrics(evaluation, _DIRECTIONS, _RULES, "Directions, at a probability of one half")
    kind = {"by_date": "across symbols, date by date", "by_symbol": "over time, symbol by symbol"}
    groups = evaluation["ic"]["groups"]
    mean = f"then the mean of {groups:,}" if groups else "of which none is defined here"
    seen = evaluation["detectable"]
    correlated = (
        f" As rows of a date are correlated, all rows are worth {100 / seen['design_effect']:.0f} "
        "% of as many independent ones."
        if seen["design_effect"]
        else ""
    )
    yield note(
        f"Intervals: blocks of {count_of(intervals['block_sessions'], 'date')} drawn "
        f"{intervals['resamples']:,} times, all symbols of a date together; a dash where there are "
        "too few blocks or the figure is undefined. Information coefficients: the correlation of "
        f"probability and return, {kind[evaluation['ic']['kind']]}, {mean}.{correlated}"
    )
    leads = {name: evaluation[f"lead_over_{name}"] for name in ("prior", "prior_by_symbol")}
    yield table(
        ("over", "lead, nats", "standard error", "p, one-sided", "dates"),
        (
            (
                name.replace("_", " "),
                format_number(lead["mean"], _spread(lead["standard_error"])),
                format_number(lead["standard_error"], _spread(lead["standard_error"])),
                format_p(lead["p_value"]).removeprefix("p = ").removeprefix("p "),
                lead["dates"],
            )
            for name, lead in leads.items()
        ),
        caption="Lead in log loss, a paired test by date",
    )
    yield from _confusion(evaluation)


def _spread(error: float | None) -> tuple[float, float] | None:
    """Return an interval as wide as that of an estimate with a standard error."""
    return (-2 * error, 2 * error) if error else None


def _metrics(
    evaluation: Mapping[str, Any],
    metrics: Mapping[str, str],
    baselines: Mapping[str, str],
    caption: str,
) -> str:
    model, intervals = evaluation["model"], evaluation["intervals"]["model"]
    known = {name: evaluation["baselines"].get(name) for name in baselines}
    references = {baselines[name]: values for name, values in known.items() if values}
    rows = []
    for name, words in metrics.items():
        interval = intervals.get(name)
        shown = [format_number(v.get(name), interval) for v in (model, *references.values())]
        rows.append((words, shown[0], format_interval(interval), *shown[1:]))
    columns = ("metric", "model", "95 % interval", *references)
    return table(columns, rows, caption=caption)


def _calibration(evaluation: Mapping[str, Any]) -> Iterable[str]:
    parts, intervals = evaluation["calibration"], evaluation["intervals"]["model"]
    yield table(
        ("part", "value", "95 % interval", "meaning"),
        (
            (
                name,
                format_number(parts[name], intervals.get(name)),
                format_interval(intervals.get(name)),
                text,
            )
            for name, text in _CALIBRATION.items()
        ),
        caption="Parts of the Brier score, and the recalibration that would be best",
    )


def _confusion(evaluation: Mapping[str, Any]) -> Iterable[str]:
    """Count forecasts against outcomes, from the recalls."""
    holdout, model = evaluation["holdout"], evaluation["model"]
    ups = round(holdout["rows"] * holdout["up_share"])
    downs = holdout["rows"] - ups
    right_up = round(ups * (model["recall_up"] or 0))
    right_down = round(downs * (model["recall_down"] or 0))
    yield table(
        ("outcome", "forecast up", "forecast down", "both"),
        (("up", right_up, ups - right_up, ups), ("down", downs - right_down, right_down, downs)),
        caption="Forecasts against outcomes",
    )


def _groups(evaluation: Mapping[str, Any]) -> Iterable[str]:
    for kind in ("symbol", "year"):
        groups = evaluation[f"by_{kind}"]
        largest = sorted(groups, key=lambda name: -groups[name]["rows"])[:SHOWN]
        yield table(
            (
                kind,
                "rows",
                "log loss",
                "ROC AUC",
                "95 % interval",
                "accuracy",
                "95 % interval",
            ),
            (
                (
                    name,
                    f"{groups[name]['rows']:,}",
                    format_number(
                        groups[name]["log_loss"], groups[name]["intervals"].get("log_loss")
                    ),
                    *_with_interval(groups[name], "roc_auc"),
                    *_with_interval(groups[name], "accuracy"),
                )
                for name in groups
                if name in largest
            ),
            caption=f"By {kind}",
        )
        if len(groups) > SHOWN:
            yield note(
                f"Those with the most rows; {len(groups) - SHOWN:,} more are in evaluation.json."
            )


def _with_interval(part: Mapping[str, Any], name: str) -> tuple[str | None, str | None]:
    interval = part["intervals"].get(name)
    return format_number(part[name], interval), format_interval(interval)


def _backtest(traded: Mapping[str, Any]) -> Iterable[str]:
    held = traded["buy_and_hold"]
    strategies = (traded, traded["always_long"], held)
    digits = decimals_of(traded["sharpe_interval"]) if traded["sharpe_interval"] else 1
    rows: list[tuple[str, Sequence[str | None]]] = [
        (
            words,
            [format_percent(strategy[costs][name]) for strategy in strategies],
        )
        for words, costs, name in (
            ("gross return a year", "gross", "annual_return"),
            ("net return a year", "net", "annual_return"),
            ("volatility a year", "net", "volatility"),
            ("deepest fall", "net", "max_drawdown"),
        )
    ]
    sharpe = [s["net"]["sharpe"] for s in strategies]
    rows += [
        ("Sharpe ratio", [None if ratio is None else f"{ratio:.{digits}f}" for ratio in sharpe]),
        ("mean exposure", [format_percent(strategy["exposure"]) for strategy in strategies]),
        ("turnover a session", [format_percent(strategy["turnover"]) for strategy in strategies]),
        ("break-even cost, bps a side", [format_break_even(strategy) for strategy in strategies]),
    ]
    yield table(
        ("figure", "model", "always long", "buy and hold"),
        ((words, *values) for words, values in rows),
        caption=f"On paper, {traded['cost_bps']:g} bps a side; net of costs if not called gross",
    )
    yield note(
        f"Threshold {traded['threshold']:.3f}, chosen before the holdout; "
        f"{count_of(traded['sessions'], 'session')}{_sessions_a_year(traded)}. Model and always "
        "long enter at the open and leave at the close as the label says, each position opened and "
        "closed; buy and hold buys once, so it has no break-even cost. Of the model: "
        f"{describe_sharpe(traded)}."
    )


def _sessions_a_year(traded: Mapping[str, Any]) -> str:
    count = traded["sessions_a_year"]
    if count is None:
        return ", less than a quarter of a year, too few for annual figures"
    return f", {count:.1f} a year by elapsed time, which annual figures are based on"


def _engineering(
    evaluation: Mapping[str, Any], images: Mapping[str, Picture], repeat: str
) -> Iterable[str]:
    recipe = evaluation["recipe"]
    settings = ", ".join(f"{name} {value}" for name, value in recipe["hyperparameters"].items())
    window, half_life = recipe["train_window"], recipe["half_life"]
    yield heading("Recipe", 3)
    yield table(
        ("setting", "value"),
        (
            ("model", recipe["candidate"]),
            ("hyperparameters", settings or "none"),
            ("calibration", recipe["calibration"]),
            ("feature sets", ", ".join(recipe["feature_sets"])),
            ("window of the features", count_of(recipe["window"], "session")),
            ("horizon", count_of(recipe["horizon"], "session")),
            ("learnt from", f"the last {window} sessions" if window else "all sessions before"),
            (
                "weights",
                f"halved every {half_life} sessions" if half_life else "the same for all sessions",
            ),
            ("id of the recipe", recipe["id"]),
            ("sha256 of the feature table", evaluation["table_sha256"]),
        ),
        ("value",),
    )
    yield heading("Chosen before the holdout", 3)
    losses = recipe["selection"]["log_loss_by_fold"]
    yield table(
        ("candidate", "mean", *(f"fold {n}" for n in range(1, max(map(len, losses.values())) + 1))),
        (
            (name, *(f"{loss:.4f}" for loss in (sum(values) / len(values), *values)))
            for name, values in losses.items()
        ),
        caption="Log loss of each candidate on the folds, nats",
    )
    yield _shown(images, "importances.png")
    yield heading("To repeat it", 3)
    yield paragraph("The same commit, recipe and table give the same figures.")
    yield code(repeat)
