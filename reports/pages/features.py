"""Page of the feature table, on the dates before the holdout only."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from reports.pages.html import facts, folded, heading, note, page, paragraph, pictures, table
from reports.plots.features import (
    draw_correlations,
    draw_distribution,
    draw_label_balance,
    draw_prices,
)
from reports.plots.figure import Picture
from reports.text.counts import count_of
from reports.text.ties import describe_ties
from stockpred.bars.checks.limits import GAP_DAYS
from stockpred.bars.price_history import PriceSummary
from stockpred.features.base import Feature
from stockpred.features.summary import FeatureSummary, TableSummary

SHOWN = 200  # rows of a table
MOST_DISTRIBUTIONS = 60


def render_features_page(
    summary: TableSummary, prices: PriceSummary, features: Sequence[Feature], source: str
) -> str:
    """Render a page on a feature table.

    Parameters
    ----------
    summary : TableSummary
        Of rows with an outcome that end before the holdout: a picture of the holdout would be a
        look at it.
    prices : PriceSummary
        Of the bars before the holdout.
    features : sequence of Feature
        In the order of the page.
    source : str
        Where the bars come from.

    Returns
    -------
    str
        HTML.
    """
    described = {feature.name: summary.feature(feature.name) for feature in features}
    return page(
        "The data before the holdout",
        [
            paragraph(
                f"{summary.rows:,} rows from {source}; the share of ups is "
                f"{_percent(summary.up_share)}. {describe_ties(summary.ties, summary.rows)}. "
                "Nothing on this page has seen a date of the holdout.",
                lead=True,
            ),
            *_overview(summary, prices, features),
            heading("Prices"),
            *_prices(prices),
            heading("The label over time"),
            *_label(summary),
            heading("Features and the label"),
            *_correlations(summary, described),
            heading("Distributions of the features"),
            *_distributions(summary, described, features),
            heading("Tables"),
            *_symbol_table(summary),
            *_feature_table(described, features),
        ],
    )


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f} %"


def _overview(
    summary: TableSummary, prices: PriceSummary, features: Sequence[Feature]
) -> Iterable[str]:
    dates = summary.by_date().dates
    span = f"{str(dates[0])[:10]} to {str(dates[-1])[:10]}" if len(dates) else ""
    longest = max((feature.lookback for feature in features), default=0)
    yield facts(
        [
            ("rows with a label", f"{summary.rows:,}", ""),
            ("symbols", f"{prices.symbols:,}", "with bars on these dates"),
            ("dates", f"{len(dates):,}", span),
            ("features", f"{len(features):,}", f"look-back of up to {longest} sessions"),
            ("ups", _percent(summary.up_share), "of the rows with a label"),
        ]
    )


def _prices(prices: PriceSummary) -> Iterable[str]:
    shown, cut = prices.shown, prices.cut_symbols
    cuts = (
        f"{count_of(prices.cuts, 'cut')} in {count_of(cut, 'symbol')}: no look-back and no label "
        "reaches across one"
        if prices.cuts
        else "No history is cut"
    )
    which = "The symbols that are cut most often are shown, then the first by name. "
    yield paragraph(
        f"{len(shown):,} of {count_of(prices.symbols, 'symbol')}. {which if cut else ''}{cuts}."
        if len(shown) < prices.symbols
        else f"{cuts}."
    )
    drawn = draw_prices(shown)
    yield pictures(
        (
            f"Price of {history.symbol}: {history.bars:,} bars from {str(history.dates[0])[:10]} "
            f"to {str(history.dates[-1])[:10]}, {count_of(history.cuts, 'cut')}",
            picture,
        )
        for history, picture in zip(shown, drawn, strict=True)
    )
    yield note(
        "Closes adjusted for splits and dividends, each on its own logarithmic scale, with their "
        "growth over the whole time. A dashed line is a cut: a period that validation removed, or "
        f"more than {GAP_DAYS} days without a bar."
    )


def _label(summary: TableSummary) -> Iterable[str]:
    counts = summary.by_date()
    if not len(counts.dates):
        yield paragraph("No row has a label.")
        return
    picture = draw_label_balance(counts)
    yield pictures([(f"{picture.title}; of all rows {_percent(summary.up_share)}", picture)])
    yield note(
        "The base rate, which forecasts are measured against. An interval counts the rows "
        "of a date as one observation, as symbols move together."
    )


def _correlations(summary: TableSummary, described: Mapping[str, FeatureSummary]) -> Iterable[str]:
    by_chance = 1.96 / np.sqrt(max(len(summary.by_date().dates), 1))
    picture = draw_correlations(described, by_chance)
    if picture is None:
        yield paragraph("No feature has two different values.")
        return
    known = [f.correlation for f in described.values() if f.correlation is not None]
    outside = sum(abs(correlation) > by_chance for correlation in known)
    yield paragraph(
        f"{outside} of {count_of(len(known), 'feature')} {'has' if outside == 1 else 'have'} a "
        f"rank correlation with the label beyond {by_chance:.3f}; without any information, one "
        f"expects {0.05 * len(known):.1f}."
    )
    yield pictures([(f"{picture.title}; {_largest(described)}", picture)])
    yield note(
        "Spearman's, of all symbols together. The limit counts the rows of a date as one "
        "observation. A forecast may gain from features that show nothing alone."
        + (f" Of every {summary.every}th row." if summary.every > 1 else "")
    )


def _largest(described: Mapping[str, FeatureSummary]) -> str:
    name, size = max(
        ((name, feature.correlation or 0.0) for name, feature in described.items()),
        key=lambda pair: abs(pair[1]),
    )
    return f"the largest is {size:+.3f}, of {name}"


def _distributions(
    summary: TableSummary, described: Mapping[str, FeatureSummary], features: Sequence[Feature]
) -> Iterable[str]:
    if not summary.rows:
        return
    flags = [name for name, feature in described.items() if _is_flag(feature)]
    others = [feature for feature in features if feature.name not in flags]
    shown = others[:MOST_DISTRIBUTIONS]
    if shown:
        yield pictures(_pictures_of(shown, described))
        yield note(
            "Red: the mean. The outermost bins hold the 0.5 % of the values on each side that are "
            "beyond them."
        )
    if len(others) > len(shown):
        yield paragraph(f"{len(others) - len(shown):,} more are in the table below.")
    if flags:
        shares = [described[name].mean for name in flags]
        yield paragraph(
            f"{count_of(len(flags), 'feature')} of 0 and 1 ({', '.join(flags[:3])}"
            f"{', ...' if len(flags) > 3 else ''}): the share of 1 is from "
            f"{_percent(min(shares))} to {_percent(max(shares))}."
        )


def _is_flag(feature: FeatureSummary) -> bool:
    values = feature.distribution
    return (
        values is not None
        and (feature.lowest, feature.highest) == (0.0, 1.0)
        and not any(values.shares[1:-1])
    )


def _pictures_of(
    features: Sequence[Feature], described: Mapping[str, FeatureSummary]
) -> Iterable[tuple[str, Picture]]:
    for feature in features:
        figures = described[feature.name]
        yield (
            f"Distribution of {feature.name}: mean {figures.mean:.4g}, standard deviation "
            f"{figures.deviation:.4g}, from {figures.lowest:.4g} to {figures.highest:.4g}; "
            f"{feature.meaning}",
            draw_distribution(feature.name, figures),
        )


def _symbol_table(summary: TableSummary) -> Iterable[str]:
    symbols = list(summary.symbols())
    rows = [
        (
            part.symbol,
            f"{part.rows:,}",
            part.ties,
            str(part.first)[:10],
            str(part.last)[:10],
            _percent(part.up_share),
        )
        for part in symbols[:SHOWN]
    ]
    columns = ("symbol", "rows", "ties", "first", "last", "share of ups")
    more = len(symbols) - len(rows)
    yield folded(
        f"Symbols: {len(symbols):,}",
        [
            table(columns, rows, ("symbol", "first", "last")),
            *([note(f"{more:,} more are in features.parquet.")] if more else []),
        ],
    )


def _feature_table(
    described: Mapping[str, FeatureSummary], features: Sequence[Feature]
) -> Iterable[str]:
    columns = (
        "feature",
        "look-back",
        "mean",
        "deviation",
        "lowest",
        "highest",
        "rank correlation",
        "meaning",
    )
    rows = []
    for feature in features:
        figures = described[feature.name]
        moments = (figures.mean, figures.deviation, figures.lowest, figures.highest)
        correlation = None if figures.correlation is None else f"{figures.correlation:+.3f}"
        rows.append(
            (
                feature.name,
                feature.lookback,
                *(None if np.isnan(value) else value for value in moments),
                correlation,
                feature.meaning,
            )
        )
    yield folded(f"Features: {len(features):,}", [table(columns, rows, ("feature", "meaning"))])
