"""Page of the evaluation: verdict, figures, plots, known biases, how to repeat it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.pages.html import bullets, code, heading, page, paragraph, pictures, table
from reports.plots.figure import Picture
from reports.text.ties import describe_ties
from reports.text.verdict import (
    describe_sharpe,
    format_interval,
    format_percent,
    known_biases,
    trading_summary,
    verdict_sentence,
)

_BASELINES = ("prior", "prior_symbol", "majority", "last_direction", "always_up")
_PICTURES = {
    "roc.png": "ROC curve of the holdout",
    "calibration.png": "observed share of ups against the forecast probability",
    "lead.png": "cumulative lead in log loss over the prior",
    "by_symbol.png": "ROC AUC by symbol",
    "by_year.png": "ROC AUC by year",
    "equity.png": "worth of one unit through the holdout",
    "importances.png": "importance of the features on the folds",
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
            paragraph(
                f"{holdout['rows']:,} forecasts on {holdout['dates']:,} dates, each by a fit that "
                f"had not seen its date; {holdout['up_share']:.1%} of the outcomes were up. "
                f"{describe_ties(holdout['ties'], holdout['rows'])}. The recipe was "
                "chosen before the holdout begins."
            ),
            heading("Figures"),
            *_figures(evaluation),
            _shown(images, "roc.png", "lead.png"),
            heading("Calibration"),
            *_calibration(evaluation),
            _shown(images, "calibration.png"),
            *_confusion(evaluation),
            heading("By symbol and by year"),
            _shown(images, "by_symbol.png", "by_year.png"),
            *_parts(evaluation),
            heading("On paper"),
            _shown(images, "equity.png"),
            *_backtest(evaluation["backtest"]),
            heading("Chosen before the holdout"),
            table(
                ("candidate", "mean log loss", "by fold"),
                (
                    (name, sum(losses) / len(losses), ", ".join(f"{x:.4f}" for x in losses))
                    for name, losses in recipe["selection"]["log_loss_by_fold"].items()
                ),
            ),
            _shown(images, "importances.png"),
            heading("Known biases"),
            bullets(known_biases(source, untradable)),
            heading("To repeat it"),
            paragraph(
                f"Recipe {recipe['id']}, sha256 of the table {evaluation['table_sha256']}. "
                "The same commit, recipe and table give the same figures."
            ),
            code(repeat),
        ],
    )


def _shown(images: Mapping[str, Picture], *names: str) -> str:
    return pictures((_PICTURES[name], images[name]) for name in names if name in images)


def _figures(evaluation: Mapping[str, Any]) -> Iterable[str]:
    model, intervals = evaluation["model"], evaluation["intervals"]
    baselines = [evaluation["baselines"].get(name, {}) for name in _BASELINES]
    yield table(
        ("metric", "model", "95 % interval", *(name.replace("_", " ") for name in _BASELINES)),
        (
            (
                name,
                value,
                format_interval(intervals["model"].get(name)),
                *(baseline.get(name) for baseline in baselines),
            )
            for name, value in model.items()
        ),
    )
    kind = {"by_date": "across symbols, date by date", "by_symbol": "over time, symbol by symbol"}
    groups = evaluation["ic"]["groups"]
    mean = f"then the mean of {groups:,}" if groups else "of which none is defined here"
    seen = evaluation["detectable"]
    correlated = (
        f" As rows of a date are correlated, all rows are worth {1 / seen['design_effect']:.0%} "
        "of as many independent ones."
        if seen["design_effect"]
        else ""
    )
    yield paragraph(
        f"Intervals: blocks of {intervals['block_sessions']} dates drawn {intervals['resamples']:,}"
        " times, all symbols of a date together; a dash where there are too few blocks or the "
        f"figure is undefined. ic and rank_ic: the correlation of probability and return "
        f"{kind[evaluation['ic']['kind']]}, {mean}.{correlated}"
    )
    leads = ("lead_over_prior", "lead_over_prior_by_symbol")
    yield table(
        ("lead in log loss over", "nats", "standard error", "p, one-sided", "dates"),
        (
            (
                name.removeprefix("lead_over_").replace("_", " "),
                lead["mean"],
                lead["standard_error"],
                lead["p_value"],
                lead["dates"],
            )
            for name, lead in ((n, evaluation[n]) for n in leads)
        ),
    )


def _calibration(evaluation: Mapping[str, Any]) -> Iterable[str]:
    parts, intervals = evaluation["calibration"], evaluation["intervals"]["model"]
    meaning = {
        "reliability": "part of the Brier score that recalibration would remove; 0 is best",
        "resolution": "part removed by separating likely from unlikely; more is better",
        "uncertainty": "part of the outcomes alone",
        "slope": "of a logistic recalibration; 1 is perfect, below 1 too bold",
        "intercept": "of the same; 0 is perfect",
    }
    yield table(
        ("part", "value", "95 % interval", "meaning"),
        (
            (name, parts[name], format_interval(intervals.get(name)), text)
            for name, text in meaning.items()
        ),
        text_columns=("meaning",),
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
        caption="Forecasts against outcomes, at a probability of one half",
    )


def _parts(evaluation: Mapping[str, Any]) -> Iterable[str]:
    for kind in ("symbol", "year"):
        metrics = ("log_loss", "brier", "roc_auc", "accuracy")
        yield table(
            (
                kind,
                "rows",
                "log loss",
                "Brier",
                "ROC AUC",
                "95 % interval",
                "accuracy",
                "95 % interval",
            ),
            (
                (name, part["rows"], *_spread([part[m] for m in metrics], part["intervals"]))
                for name, part in evaluation[f"by_{kind}"].items()
            ),
        )


def _spread(values: Sequence[float | None], intervals: Mapping[str, Any]) -> tuple[object, ...]:
    loss, brier, area, accuracy = values
    auc_span, accuracy_span = (format_interval(intervals[name]) for name in ("roc_auc", "accuracy"))
    return loss, brier, area, auc_span, accuracy, accuracy_span


def _backtest(traded: Mapping[str, Any]) -> Iterable[str]:
    rows = (
        ("model", traded),
        ("always long", traded["always_long"]),
        ("buy and hold", traded["buy_and_hold"]),
    )
    yield table(
        (
            "strategy",
            "gross a year",
            "net a year",
            "volatility",
            "Sharpe",
            "deepest fall",
            "turnover a session",
            "exposure",
            "break-even, bps",
        ),
        (
            (
                name,
                format_percent(strategy["gross"]["annual_return"]),
                format_percent(strategy["net"]["annual_return"]),
                format_percent(strategy["net"]["volatility"]),
                strategy["net"]["sharpe"],
                format_percent(strategy["net"]["max_drawdown"]),
                strategy["turnover"],
                format_percent(strategy["exposure"]),
                strategy["break_even_bps"],
            )
            for name, strategy in rows
        ),
    )
    yield paragraph(
        f"Threshold {traded['threshold']:.4g}, chosen before the holdout; {traded['cost_bps']:g} "
        f"bps a side; {traded['sessions']:,} sessions{_sessions_a_year(traded)}. Model and always "
        "long enter at the open and leave at the close as the label says, each position opened and "
        "closed; buy and hold buys once. All but the first figure are net of costs. Of the model: "
        f"{describe_sharpe(traded)}, the probability that it is above what the best of so many has "
        "by luck."
    )


def _sessions_a_year(traded: Mapping[str, Any]) -> str:
    count = traded["sessions_a_year"]
    if count is None:
        return ", less than a quarter of a year, too few for annual figures"
    return f", {count:.1f} a year by elapsed time, which annual figures are based on"
