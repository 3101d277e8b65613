"""What bars tell a monitor beside the outcomes: newest dates, and features before and after."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Dates
from stockpred.bars.schema import BarsInfo
from stockpred.columns import DATE
from stockpred.features.registry import FEATURE_SETS
from stockpred.features.table import feature_columns, feature_rows
from stockpred.monitoring.record import RECENT

SAMPLE = 20_000  # rows of the training reference, in all


@dataclass
class FeatureSampler:
    """What was found in the bars, noted on the way.

    Attributes
    ----------
    info : BarsInfo
    sessions : array of datetime64
        Every date, in order.
    newest : dict of str to datetime64
        Date of each symbol's newest bar.
    reference, current : dict of str to list of array
        Feature -> values up to the training's end, a sample, and of the last dates after it.
    """

    info: BarsInfo
    sessions: Dates
    newest: dict[str, np.datetime64] = field(default_factory=dict)
    reference: dict[str, list[Any]] = field(default_factory=dict)
    current: dict[str, list[Any]] = field(default_factory=dict)

    def feature_tables(
        self,
        bars: Iterable[tuple[str, pd.DataFrame]],
        feature_sets: Iterable[str],
        window: int,
        horizon: int,
        trained_to: str | None,
    ) -> Iterator[pd.DataFrame]:
        """Yield each symbol's feature rows, one in memory, and note what they tell.

        Features are those of this code, before and after; a set that it does not know is left out.
        """
        known = [name for name in feature_sets if name in FEATURE_SETS]
        end = np.datetime64(trained_to, "s") if trained_to else self.sessions[0]
        most = max(1, SAMPLE // max(1, len(self.info.calendars)))
        late = self.sessions[self.sessions > end][-RECENT:]
        for symbol, frame in bars:
            self.newest[symbol] = frame[DATE].to_numpy()[-1]
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

    def features(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Feature -> values of all symbols: of the reference, and of the last dates."""
        before, after = (
            {name: np.concatenate(parts) for name, parts in side.items()}
            for side in (self.reference, self.current)
        )
        return before, after
