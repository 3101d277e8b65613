"""The data report: what a model will learn from, on the dates before the holdout only."""

from collections.abc import Sequence

import pandas as pd

from reports.pages.html import heading, page, paragraph, table
from stockpred.columns import DATE, LABEL, SYMBOL
from stockpred.features.base import Feature


def render_features_page(rows: pd.DataFrame, features: Sequence[Feature], source: str) -> str:
    """A page on a feature table.

    Parameters
    ----------
    rows : DataFrame
        Labelled rows that end before the holdout: a picture of the holdout would be a look at it.
    """
    by_symbol = (
        (
            str(symbol),
            len(part),
            f"{part[DATE].min():%Y-%m-%d}",
            f"{part[DATE].max():%Y-%m-%d}",
            float(part[LABEL].mean()),
        )
        for symbol, part in rows.groupby(SYMBOL, observed=True)
    )
    label = rows[LABEL]
    described = []
    for feature in features:
        values = rows[feature.name].astype("float64")
        correlation = values.corr(label, method="spearman") if values.nunique() > 1 else None
        described.append(
            (
                feature.name,
                feature.lookback,
                float(values.mean()),
                float(values.std()),
                float(values.min()),
                float(values.max()),
                correlation,
                feature.meaning,
            )
        )
    return page(
        "The data before the holdout",
        [
            paragraph(
                f"{len(rows):,} rows from {source}; the share of ups is "
                f"{label.mean():.1%}. Nothing on this page has seen a date of the holdout.",
                lead=True,
            ),
            heading("Symbols"),
            table(("symbol", "rows", "first", "last", "share of ups"), by_symbol),
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
                described,
            ),
        ],
    )
