"""What the registry, the ledger, earlier runs and the bars tell of a model that is watched."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.ledger import Ledger
from pipeline.registry import Resolved, versions
from pipeline.run import StepRun
from pipeline.tables import groups, metadata, read
from steps.values import ROOT
from steps.versions import PREDICTIONS_TAG, RECIPE_TAG, TRAINED_TAG, promise_of
from stockpred.assessment import unsound_share
from stockpred.bars import BarsInfo, by_symbol, from_arrow, read_info
from stockpred.columns import (
    DATE,
    DIRECTION,
    EXIT_DATE,
    IN_RANGE,
    MODEL,
    MODEL_VERSION,
    PROBABILITY_UP,
    SCORED_AT,
    SYMBOL,
)
from stockpred.errors import DataError
from stockpred.features import FEATURE_SETS
from stockpred.monitoring import RECENT, Dates, Version
from stockpred.outcomes import Outcomes, outcomes
from stockpred.table import feature_columns, feature_rows

LATE = "late"
SAMPLE = 20_000  # rows of the training reference, in all
VALIDATIONS = 30  # earlier runs of validate that are shown
_ASKED = (SYMBOL, DATE, EXIT_DATE, PROBABILITY_UP, DIRECTION, IN_RANGE, MODEL_VERSION, SCORED_AT)


@dataclass(frozen=True)
class Settings:
    """What of a model's recipe the monitor needs."""

    feature_sets: tuple[str, ...]
    window: int
    horizon: int


@dataclass
class Bars:
    """What was found in the bars, noted on the way.

    Attributes
    ----------
    newest : dict of str to datetime64
        Date of each symbol's newest bar.
    sessions : array of datetime64
        Every date, in order.
    reference, current : dict of str to list of array
        Feature -> values up to the training's end, a sample, and of the last dates after it.
    """

    info: BarsInfo
    newest: dict[str, np.datetime64] = field(default_factory=dict)
    sessions: Dates = field(default_factory=lambda: np.empty(0, "datetime64[s]"))
    reference: dict[str, list[Any]] = field(default_factory=dict)
    current: dict[str, list[Any]] = field(default_factory=dict)


def versions_of(client: Any, name: str) -> dict[str, Version]:
    """Every version of a registered model."""
    return {
        str(each.version): Version(
            str(each.version), each.tags.get(RECIPE_TAG), each.tags.get(TRAINED_TAG),
            promise_of(each),
        )
        for each in versions(client, name)
    }  # fmt: skip


def settings_of(run: StepRun, found: Resolved) -> Settings:
    """Read the recipe that is stored with a model.

    Raises
    ------
    DataError
        Not a model of `train`.
    """
    where = run.client.get_model_version_download_uri(found.name, found.version)
    try:
        content = json.loads(run.input(f"{where}/artifacts/recipe.json").read_text())
        return Settings(
            tuple(content["feature_sets"]), int(content["window"]), int(content["horizon"])
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{found.uri}: not a model of train ({error}); register one") from error


def forecasts_of(uri: str, name: str) -> pd.DataFrame:
    """The rows of a ledger that versions of one registered model made.

    Returns
    -------
    DataFrame
        symbol, date, probability_up, direction, in_range (NaN where the model does not tell),
        model_version; ``late``: entered after the day of its exit.

    Raises
    ------
    DataError
        A column is missing, or no row is of this model.
    """
    table = Ledger(uri, ROOT, DATE).read()
    missing = [each for each in (*_ASKED, MODEL) if each not in table.column_names]
    if missing:
        raise DataError(f"ledger={uri!r}: column {missing[0]!r} is missing; give one of score")
    columns = {each: table[each].cast(pa.string()) for each in (SYMBOL, MODEL_VERSION, MODEL)}
    mine = np.asarray(columns[MODEL].to_pandas() == name)
    if not mine.any():
        raise DataError(f"ledger={uri!r}: no forecast of {name!r}; give another registered_model")
    dates = {each: table[each].cast(pa.timestamp("s")).to_numpy() for each in (DATE, EXIT_DATE)}
    # Known after the close of the exit's day; a day's end in UTC comes after any exchange's close.
    late = table[SCORED_AT].to_numpy() > dates[EXIT_DATE] + np.timedelta64(1, "D")
    rows = pd.DataFrame(
        {
            SYMBOL: pd.Series(columns[SYMBOL].to_pandas(), dtype="str"),
            DATE: dates[DATE],
            PROBABILITY_UP: table[PROBABILITY_UP].to_numpy(),
            DIRECTION: table[DIRECTION].to_numpy(),
            IN_RANGE: table[IN_RANGE].cast(pa.float64()).to_numpy(),
            MODEL_VERSION: pd.Series(columns[MODEL_VERSION].to_pandas(), dtype="str"),
            LATE: late,
        }
    )
    return rows[mine].reset_index(drop=True)


def read_bars(
    path: Path, made: Settings, trained_to: str | None, dates: Dates
) -> tuple[Outcomes, Bars]:
    """Read clean bars, one symbol in memory at a time: outcomes of some dates, and what else.

    Features are those of this code, on both sides; a set that it does not know is left out.
    """
    found = Bars(read_info(metadata(path)))
    known = [name for name in made.feature_sets if name in FEATURE_SETS]
    found.sessions = _sessions(path)
    end = np.datetime64(trained_to, "s") if trained_to else found.sessions[0]
    most = max(1, SAMPLE // max(1, len(found.info.calendars)))
    late = found.sessions[found.sessions > end][-RECENT:]

    def tables() -> Iterator[pd.DataFrame]:
        for group in groups(path):
            for symbol, part in by_symbol(group):
                bars = from_arrow(part)
                found.newest[symbol] = bars[DATE].to_numpy()[-1]
                spans = [span for span in found.info.spans if span.symbol == symbol]
                sets, window = (known, made.window) if known else (["direction"], 1)
                rows = feature_rows(bars, sets, window, made.horizon, spans)
                if known:
                    before = rows[rows[DATE] <= end]
                    step = max(1, len(before) // most)
                    after = rows[rows[DATE].isin(late)]
                    for name in feature_columns(rows):
                        found.reference.setdefault(name, []).append(before[name].to_numpy()[::step])
                        found.current.setdefault(name, []).append(after[name].to_numpy())
                yield rows

    return outcomes(tables(), dates), found


def _sessions(path: Path) -> Dates:
    days = [each[DATE].unique().cast(pa.timestamp("s")).to_numpy() for each in groups(path, [DATE])]
    return np.unique(np.concatenate(days))


def promised_probabilities(run: StepRun, found: Resolved) -> np.ndarray[Any, Any]:
    """The forecasts of a version's own evaluation; none where they are gone."""
    tags = run.client.get_model_version(found.name, found.version).tags
    try:
        return read(run.input(tags[PREDICTIONS_TAG]))[PROBABILITY_UP].to_numpy()
    except (InputError, KeyError):
        return np.empty(0)


def validations(run: StepRun) -> list[dict[str, Any]]:
    """Figures of the newest runs of `validate` in this experiment, the newest first."""
    shown = []
    for earlier in run.earlier_runs("validate", {}, VALIDATIONS):
        metrics: Mapping[str, float] = earlier.data.metrics
        problems = sum(value for name, value in metrics.items() if name.startswith("check_"))
        shown.append(
            {
                "run_id": earlier.info.run_id,
                "when": str(pd.Timestamp(earlier.info.start_time, unit="ms"))[:16],
                "problems": int(problems),
                **{n: int(metrics.get(n, 0)) for n in ("rows", "stretches", "symbols_dropped")},
            }
        )
    return shown


def unsound_of(run: StepRun, bars: str | None) -> float | None:
    """Share of the bars that validation took out, where the run that wrote them tells.

    Parameters
    ----------
    bars : str, optional
        Where they came from, such as ``runs:/<run id>/bars.parquet``; None: from this run itself.
    """
    try:
        if bars is None:
            path = run.written("validation.json")
        elif bars.startswith("runs:/"):
            path = run.input(f"{bars.rpartition('/')[0]}/validation.json")
        else:
            return None
        return unsound_share(json.loads(path.read_text()))
    except (InputError, OSError, ValueError):
        return None
