"""Sample of features before and after training, taken while bars are read for their outcomes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Dates
from stockpred.bars.schema import BarsInfo, unbroken_ranges
from stockpred.columns import DATE
from stockpred.features.registry import FEATURE_SETS
from stockpred.features.table import feature_columns, feature_rows
from stockpred.monitoring.recent_period import RECENT

SAMPLE = 20_000  # rows of the training reference, in all


@dataclass
class FeatureSampler:
    """Sampler of features and newest dates, filled while feature tables are made.

    Attributes
    ----------
    info : BarsInfo
        Of the bars.
    sessions : array of datetime64
        Every date, in order.
    newest : dict of str to datetime64
        Date of each symbol's newest bar.
    recent : dict of str to array of datetime64
        Dates of each symbol's last `RECENT` bars.
    reference, current : dict of str to list of array
        Values by feature: a sample of those up to the end of training, and those of the last dates
        after it.
    """

    info: BarsInfo
    sessions: Dates
    newest: dict[str, np.datetime64] = field(default_factory=dict)
    recent: dict[str, Dates] = field(default_factory=dict)
    reference: dict[str, list[Any]] = field(default_factory=dict)
    current: dict[str, list[Any]] = field(default_factory=dict)

    def feature_tables(
        self,
        bars: Iterable[tuple[str, pd.DataFrame]],
        feature_sets: Iterable[str],
        window: int,
        horizon: int,
        *,
        trained_to: str | None,
    ) -> Iterator[pd.DataFrame]:
        """Yield the feature rows of each symbol, one symbol in memory, and sample them.

        Features are computed by this code, for both periods; an unknown set is left out.

        Parameters
        ----------
        bars : iterable of (str, DataFrame)
            Symbol and its clean bars.
        feature_sets : iterable of str
            Names of the model's feature sets.
        window : int
            Length of the ``direction`` set, in sessions.
        horizon : int
            Sessions from entry to exit.
        trained_to : str or None
            ISO date of the last label the model was trained on; None: the first session.

        Yields
        ------
        DataFrame
            As `table.feature_rows` gives it.
        """
        known = [name for name in feature_sets if name in FEATURE_SETS]
        end = np.datetime64(trained_to, "s") if trained_to else self.sessions[0]
        most = max(1, SAMPLE // max(1, len(self.info.calendars)))
        late = self.sessions[self.sessions > end][-RECENT:]
        for symbol, frame in bars:
            self.recent[symbol] = frame[DATE].to_numpy()[-RECENT:].copy()
            self.newest[symbol] = self.recent[symbol][-1]
            quarantines = self.info.quarantines_of(symbol)
            sets, length = (known, window) if known else (["direction"], 1)
            rows = feature_rows(frame, sets, length, horizon, quarantines)
            if known:
                before = rows[rows[DATE] <= end]
                step = max(1, len(before) // most)
                after = rows[rows[DATE].isin(late)]
                for name in feature_columns(rows):
                    self.reference.setdefault(name, []).append(before[name].to_numpy()[::step])
                    self.current.setdefault(name, []).append(after[name].to_numpy())
            yield rows

    def recent_without_gap(self) -> dict[str, Dates]:
        """Return each symbol's `recent` dates after its last long gap or quarantined period."""
        return {
            symbol: dates[unbroken_ranges(dates, self.info.quarantines_of(symbol))[-1][0] :]
            for symbol, dates in self.recent.items()
        }

    def features(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the values of all symbols by feature: of the reference, and of the last dates."""
        before, after = (
            {name: np.concatenate(parts) for name, parts in side.items()}
            for side in (self.reference, self.current)
        )
        return before, after
