"""The data page of generated bars and a generated feature table."""

import numpy as np

from reports.pages.features import render_features_page
from stockpred.bars.price_history import PriceSummary, thin_prices
from stockpred.features.base import Feature
from stockpred.features.summary import TableSummary
from tests.support.data.bars import make_bars
from tests.support.data.feature_tables import add_rows
from tests.support.data.generated_tables import generate_table


def features_page(
    symbols: int = 5, dates: int = 400, prefix: str = "", features: int = 6, cut: bool = False
) -> str:
    """The page; names begin with `prefix`, and with `cut` the first half of symbols has a gap."""
    table = generate_table(dates, symbols, strength=0.5, features=features)
    names = {f"x{i}": f"{prefix}x{i}" for i in range(features)}
    table = table.assign(symbol=prefix + table["symbol"], x1=(table["x1"] > 0).astype(np.float32))
    summary = TableSummary(list(names.values()), np.unique(table["date"]))
    add_rows(summary, table.rename(columns=names))
    prices = PriceSummary()
    for number in range(symbols):
        bars = make_bars(dates, f"{prefix}S{number}", seed=number)
        if cut and number < symbols // 2:
            bars = bars.drop(index=range(dates // 2, dates // 2 + 20))
        prices.add(
            thin_prices(f"{prefix}S{number}", bars["date"].to_numpy(), bars["close"].to_numpy())
        )
    listed = [Feature(name, 20, f"meaning of {name}") for name in names.values()]
    return render_features_page(summary, prices, listed, f"{prefix}bars.csv")
