"""Page of the feature table, on the dates before the holdout only."""

from collections.abc import Sequence

from reports.pages.html import heading, page, paragraph, table
from reports.text.ties import describe_ties
from stockpred.features.base import Feature
from stockpred.features.summary import TableSummary


def render_features_page(summary: TableSummary, features: Sequence[Feature], source: str) -> str:
    """Render a page on a feature table.

    Parameters
    ----------
    summary : TableSummary
        Of rows with an outcome that end before the holdout: a picture of the holdout would be a
        look at it.
    features : sequence of Feature
        In the order of the page.
    source : str
        Where the bars come from.

    Returns
    -------
    str
        HTML.
    """
    sampled = f" Rank correlations are of every {summary.every}th row." if summary.every > 1 else ""
    return page(
        "The data before the holdout",
        [
            paragraph(
                f"{summary.rows:,} rows from {source}; the share of ups is "
                f"{summary.up_share:.1%}. {describe_ties(summary.ties, summary.rows)}. "
                f"Nothing on this page has seen a date of the holdout.{sampled}",
                lead=True,
            ),
            heading("Symbols"),
            table(
                ("symbol", "rows", "ties", "first", "last", "share of ups"),
                (
                    (
                        part.symbol,
                        part.rows,
                        part.ties,
                        str(part.first)[:10],
                        str(part.last)[:10],
                        part.up_share,
                    )
                    for part in summary.symbols()
                ),
            ),
            heading("Features"),
            table(
                (
                    "feature",
                    "look-back",
                    "mean",
                    "deviation",
                    "lowest",
                    "highest",
                    "rank correlation with label",
                    "meaning",
                ),
                (_row(summary, feature) for feature in features),
            ),
        ],
    )


def _row(summary: TableSummary, feature: Feature) -> tuple[object, ...]:
    found = summary.feature(feature.name)
    return (
        feature.name,
        feature.lookback,
        found.mean,
        found.deviation,
        found.lowest,
        found.highest,
        found.correlation,
        feature.meaning,
    )
