"""What the registry, the ledger, earlier runs and the bars tell of a model that is watched."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.registry.models import ResolvedModel, versions
from pipeline.run.step_run import StepRun
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import read_groups, read_metadata, read_table
from sources import YAHOO
from steps.cli.types import ROOT
from steps.registration.version_tags import (
    TAG_PREDICTIONS,
    TAG_RECIPE,
    TAG_TRAINED_TO,
    expected_lead_of,
)
from stockpred.arrays import Dates
from stockpred.bars.schema import BarsInfo, by_symbol, from_arrow
from stockpred.columns import DATE, PROBABILITY_UP
from stockpred.errors import DataError
from stockpred.gate.metrics import unsound_share
from stockpred.monitoring.age import weekdays_late
from stockpred.monitoring.alerts import stopped_symbols
from stockpred.monitoring.drift import drift
from stockpred.monitoring.feature_sample import FeatureSampler
from stockpred.monitoring.forecasts import forecasts_from_ledger
from stockpred.monitoring.outcomes import Outcomes, gather_outcomes
from stockpred.monitoring.record import RECENT, Version

VALIDATIONS = 30  # earlier runs of validate that are shown


@dataclass(frozen=True)
class Settings:
    """What of a model's recipe the monitor needs."""

    feature_sets: tuple[str, ...]
    window: int
    horizon: int


def versions_of(client: Any, name: str) -> dict[str, Version]:
    """Every version of a registered model."""
    return {
        str(each.version): Version(
            str(each.version),
            each.tags.get(TAG_RECIPE),
            each.tags.get(TAG_TRAINED_TO),
            expected_lead_of(each),
        )
        for each in versions(client, name)
    }


def settings_of(run: StepRun, found: ResolvedModel) -> Settings:
    """Read the recipe that is stored with a model.

    Raises
    ------
    DataError
        Not a model of `train`.
    """
    where = run.client.get_model_version_download_uri(str(found.name), str(found.version))
    try:
        content = json.loads(run.fetch_input(f"{where}/artifacts/recipe.json").read_text())
        return Settings(
            tuple(content["feature_sets"]), int(content["window"]), int(content["horizon"])
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{found.uri}: not a model of train ({error}); register one") from error


def forecasts_of(uri: str, name: str) -> pd.DataFrame:
    """The rows of a ledger that versions of one registered model made (`forecasts_from_ledger`).

    Raises
    ------
    DataError
        A column is missing, or no row is of this model.
    """
    try:
        return forecasts_from_ledger(Ledger(uri, ROOT, DATE).read(), name)
    except DataError as error:
        raise DataError(f"ledger={uri!r}: {error}") from error


def read_bars(
    path: Path, made: Settings, trained_to: str | None, dates: Dates
) -> tuple[Outcomes, FeatureSampler]:
    """Read clean bars, one symbol in memory at a time: outcomes of some dates, and what else."""
    found = FeatureSampler(BarsInfo.from_metadata(read_metadata(path)), _sessions(path))
    bars = (
        (symbol, from_arrow(part))
        for group in read_groups(path)
        for symbol, part in by_symbol(group)
    )
    tables = found.feature_tables(
        bars, made.feature_sets, made.window, made.horizon, trained_to=trained_to
    )
    return gather_outcomes(tables, dates), found


def _sessions(path: Path) -> Dates:
    days = [
        each[DATE].unique().cast(pa.timestamp("s")).to_numpy() for each in read_groups(path, [DATE])
    ]
    return np.unique(np.concatenate(days))


def _promised_probabilities(run: StepRun, found: ResolvedModel) -> np.ndarray[Any, Any]:
    """The forecasts of a version's own evaluation; none where they are gone."""
    tags = run.client.get_model_version(str(found.name), str(found.version)).tags
    try:
        return read_table(run.fetch_input(tags[TAG_PREDICTIONS]))[PROBABILITY_UP].to_numpy()
    except (InputError, KeyError):
        return np.empty(0)


def _validations(run: StepRun) -> list[dict[str, Any]]:
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


def data_of(
    run: StepRun, seen: FeatureSampler, bars: str | None, as_of: dt.datetime | None
) -> dict[str, Any]:
    """What there is to say of the data itself; `bars` as `_unsound_of` takes them."""
    late = None
    if seen.info.source == YAHOO:
        late = weekdays_late(seen.sessions, np.datetime64((as_of or run.started).date()))
    return {
        "source": seen.info.source,
        "symbols": len(seen.newest),
        "newest": str(seen.sessions[-1])[:10],
        "late": late,
        "stopped": stopped_symbols(seen.newest, seen.sessions),
        "unsound": _unsound_of(run, bars),
        "validations": _validations(run),
    }


def drift_of(
    run: StepRun, found: ResolvedModel, seen: FeatureSampler, record: pd.DataFrame
) -> dict[str, list[dict[str, Any]]]:
    """Drift of the recent forecasts from the promised ones, and of the features since training."""
    recent = record[record[DATE].isin(np.unique(record[DATE])[-RECENT:])]
    forecast = {PROBABILITY_UP: recent[PROBABILITY_UP].to_numpy()}
    promised = {PROBABILITY_UP: _promised_probabilities(run, found)}
    return {"forecasts": drift(promised, forecast), "features": drift(*seen.features())}


def _unsound_of(run: StepRun, bars: str | None) -> float | None:
    """Share of the bars that validation took out, where the run that wrote them tells.

    Parameters
    ----------
    bars : str, optional
        Where they came from, such as ``runs:/<run id>/bars.parquet``; None: from this run itself.
    """
    try:
        if bars is None:
            path = run.output_path("validation.json")
        elif bars.startswith("runs:/"):
            path = run.fetch_input(f"{bars.rpartition('/')[0]}/validation.json")
        else:
            return None
        return unsound_share(json.loads(path.read_text()))
    except (InputError, OSError, ValueError):
        return None
