"""Inputs of the monitor: versions, forecasts, outcomes, data and drift of a registered model."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.registry.model_uri import ResolvedModel
from pipeline.registry.versions import versions
from pipeline.run.step_run import StepRun
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import read_groups, read_metadata, read_table
from sources import YAHOO
from sources.calendars import UNION, calendar_sessions
from steps.cli.types import ROOT
from steps.data.trained_source import TrainedSource
from steps.registration.tags import TAG_PREDICTIONS, TAG_TRAINED_TO
from steps.registration.trained_source import read_trained_source
from steps.registration.version_tags import expected_lead_of
from steps.training.tags import TAG_RECIPE
from stockpred.arrays import Dates
from stockpred.bars.schema import BarsInfo, from_arrow, split_by_symbol
from stockpred.columns import DATE, PROBABILITY_UP, SYMBOL
from stockpred.errors import DataError
from stockpred.gate.metrics import unsound_share
from stockpred.monitoring.absence import absent_symbols
from stockpred.monitoring.age import weekdays_late
from stockpred.monitoring.alerts import stopped_symbols
from stockpred.monitoring.drift import drift
from stockpred.monitoring.feature_sample import FeatureSampler
from stockpred.monitoring.forecasts import forecasts_from_ledger
from stockpred.monitoring.outcomes import Outcomes, gather_outcomes
from stockpred.monitoring.recent_period import RECENT
from stockpred.monitoring.record import Version
from stockpred.prediction.expected_sessions import expected_sessions

if TYPE_CHECKING:
    from mlflow import MlflowClient

VALIDATIONS = 30  # earlier runs of validate that are listed


@dataclass(frozen=True)
class FeatureSettings:
    """Settings of a recipe by which features and labels are computed.

    Attributes
    ----------
    feature_sets : tuple of str
    window : int
        Length of the `direction` set.
    horizon : int
        Sessions from entry to exit.
    """

    feature_sets: tuple[str, ...]
    window: int
    horizon: int


def read_versions(client: "MlflowClient", name: str) -> dict[str, Version]:
    """Read every version of a registered model, by its number."""
    return {
        str(version.version): Version(
            str(version.version),
            version.tags.get(TAG_RECIPE),
            version.tags.get(TAG_TRAINED_TO),
            expected_lead_of(version),
        )
        for version in versions(client, name)
    }


def read_feature_settings(run: StepRun, resolved: ResolvedModel) -> FeatureSettings:
    """Read the settings of the recipe that is stored with a registered model.

    Raises
    ------
    DataError
        Its recipe.json is damaged or lacks a setting.
    """
    try:
        content = json.loads(_model_file(run, resolved, "artifacts/recipe.json").read_text())
        return FeatureSettings(
            tuple(content["feature_sets"]), int(content["window"]), int(content["horizon"])
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            resolved.uri,
            expected="a model of train",
            got=f"one whose recipe.json is damaged ({error})",
            fix="register a model that train logged",
        ) from error


def read_source(run: StepRun, resolved: ResolvedModel) -> TrainedSource | None:
    """Read the source and symbols that a registered model was trained on; None where unknown."""
    return read_trained_source(run, resolved, _model_file(run, resolved, "MLmodel"))


def _model_file(run: StepRun, resolved: ResolvedModel, name: str) -> Path:
    location = run.client.get_model_version_download_uri(str(resolved.name), str(resolved.version))
    return run.fetch_input(f"{location}/{name}")


def read_forecasts(uri: str, name: str) -> pd.DataFrame:
    """Read the forecasts that versions of one registered model added to a ledger.

    Parameters
    ----------
    uri : str
        Folder or URI of the ledger.
    name : str
        Registered model.

    Returns
    -------
    DataFrame
        See `stockpred.monitoring.forecasts.forecasts_from_ledger`.

    Raises
    ------
    DataError
        A column is missing, or the ledger has no forecast by this model.
    """
    try:
        return forecasts_from_ledger(Ledger(uri, ROOT, DATE).read(), name)
    except DataError as error:
        raise DataError(f"ledger={uri!r}: {error}") from error


def read_outcomes(
    path: Path, settings: FeatureSettings, trained_to: str | None, dates: Dates
) -> tuple[Outcomes, FeatureSampler]:
    """Read outcomes of dates and a sample of features from sound bars, symbol by symbol.

    Parameters
    ----------
    path : Path
        Parquet file of sound bars.
    settings : FeatureSettings
    trained_to : str, optional
        ISO date of the champion's last training row; the sample is split there.
    dates : array of datetime64[s], shape (dates,)
        Dates of forecasts.

    Returns
    -------
    outcomes : Outcomes
    sampler : FeatureSampler
        Filled from every symbol.
    """
    sampler = FeatureSampler(BarsInfo.from_metadata(read_metadata(path)), _sessions(path))
    bars = (
        (symbol, from_arrow(part))
        for group in read_groups(path)
        for symbol, part in split_by_symbol(group)
    )
    tables = sampler.feature_tables(
        bars, settings.feature_sets, settings.window, settings.horizon, trained_to=trained_to
    )
    return gather_outcomes(tables, dates), sampler


def _sessions(path: Path) -> Dates:
    groups = read_groups(path, [DATE])
    dates = [group[DATE].unique().cast(pa.timestamp("s")).to_numpy() for group in groups]
    return np.unique(np.concatenate(dates))


def read_evaluation(run: StepRun, resolved: ResolvedModel) -> pd.DataFrame:
    """Read symbols and probabilities of a version's evaluation; none where they are gone."""
    tags = run.client.get_model_version(str(resolved.name), str(resolved.version)).tags
    try:
        rows = read_table(run.fetch_input(tags[TAG_PREDICTIONS])).select([SYMBOL, PROBABILITY_UP])
    except (InputError, KeyError):
        return pd.DataFrame({SYMBOL: pd.Series(dtype="str"), PROBABILITY_UP: np.empty(0)})
    return rows.to_pandas()


def known_symbols(
    forecasts: pd.DataFrame, evaluated: pd.DataFrame, trained_to: str | None
) -> dict[str, np.datetime64]:
    """Collect the symbols of earlier nights and of the champion's training.

    Parameters
    ----------
    forecasts : DataFrame
        Of `read_forecasts`.
    evaluated : DataFrame
        Of `read_evaluation`.
    trained_to : str or None
        ISO date of the champion's last training row.

    Returns
    -------
    dict of str to datetime64
        Date of each one's last forecast; of a symbol without one, `trained_to`.
    """
    known: dict[str, np.datetime64] = {}
    if trained_to:
        known = dict.fromkeys(map(str, evaluated[SYMBOL].unique()), np.datetime64(trained_to, "s"))
    last = forecasts.groupby(SYMBOL)[DATE].max()
    return known | dict(zip(map(str, last.index), last.to_numpy(), strict=True))


def _validations(run: StepRun) -> list[dict[str, Any]]:
    """List metrics of the newest runs of `validate` in this experiment, newest first."""
    validations = []
    for earlier in run.earlier_runs("validate", {}, VALIDATIONS):
        metrics: Mapping[str, float] = earlier.data.metrics
        problems = sum(value for name, value in metrics.items() if name.startswith("check_"))
        validations.append(
            {
                "run_id": earlier.info.run_id,
                "when": str(pd.Timestamp(earlier.info.start_time, unit="ms"))[:16],
                "problems": int(problems),
                **{
                    name: int(metrics.get(name, 0))
                    for name in ("rows", "stretches", "symbols_dropped")
                },
            }
        )
    return validations


def describe_data(
    run: StepRun,
    sampler: FeatureSampler,
    known: Mapping[str, np.datetime64],
    bars: str | None,
    as_of: dt.datetime | None,
) -> dict[str, Any]:
    """Describe the bars: source, newest session, absent and stopped symbols, validation.

    Parameters
    ----------
    run : StepRun
    sampler : FeatureSampler
        Filled by `read_outcomes`.
    known : mapping of str to datetime64
        Of `known_symbols`.
    bars : str, optional
        URI of the bars; None: this run has validated them.
    as_of : datetime, optional
        Instant with a time zone up to which sessions count; None: the run's start.

    Returns
    -------
    dict
        JSON-ready, `data` of monitoring.json.
    """
    late = None
    if sampler.info.source == YAHOO:
        late = weekdays_late(sampler.sessions, np.datetime64((as_of or run.started).date()))
    newest, sessions = sampler.newest, sampler.sessions
    absent = absent_symbols(newest, known, sessions, partial(_is_due, sampler))
    # A symbol without any bar has stopped like one whose bars ended.
    gone = {item.symbol: np.datetime64(item.last, "s") for item in absent}
    newest = {**gone, **newest}
    return {
        "source": sampler.info.source,
        "symbols": len(newest),
        "newest": str(sessions[-1])[:10],
        "late": late,
        "absent": [asdict(item) for item in absent],
        "stopped": stopped_symbols(newest, sessions),
        "unsound": _unsound_share(run, bars),
        "validations": _validations(run),
    }


def _is_due(sampler: FeatureSampler, symbol: str) -> bool:
    """Whether a symbol trades on a session after its newest bar, as its calendar says."""
    calendar, last, newest = (
        sampler.info.calendars[symbol],
        sampler.newest[symbol],
        sampler.sessions[-1],
    )
    if calendar != UNION:
        return bool(len(calendar_sessions(calendar, last + np.timedelta64(1, "D"), newest)))
    ahead = expected_sessions(sampler.recent[symbol], 1)
    return not len(ahead) or bool(ahead[0] <= newest)


def measure_drift(
    sampler: FeatureSampler, evaluated: pd.DataFrame, record: pd.DataFrame
) -> dict[str, list[dict[str, Any]]]:
    """Measure the drift of recent forecasts since the evaluation, and of features since training.

    Parameters
    ----------
    sampler : FeatureSampler
        Filled by `read_outcomes`.
    evaluated : DataFrame
        Of `read_evaluation`.
    record : DataFrame
        The champion's record, with date and probability_up.

    Returns
    -------
    dict of str to list of dict
        JSON-ready, `drift` of monitoring.json.
    """
    recent = record[record[DATE].isin(np.unique(record[DATE])[-RECENT:])]
    current = {PROBABILITY_UP: recent[PROBABILITY_UP].to_numpy()}
    reference = {PROBABILITY_UP: evaluated[PROBABILITY_UP].to_numpy()}
    return {"forecasts": drift(reference, current), "features": drift(*sampler.features())}


def _unsound_share(run: StepRun, bars: str | None) -> float | None:
    """Read the share of bars that validation removed; None where there is no validation.json."""
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
