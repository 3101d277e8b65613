"""Whether the forecasts and the monitoring of an earlier night are those of tonight, too."""

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from pipeline.errors import InputError
from pipeline.process.scratch import scratch_folder
from pipeline.registry.model_uri import AUTO, resolve
from pipeline.registry.versions import versions
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import read_table
from pipeline.tags import TAG_MODEL_VERSION
from pipeline.tracking.artifacts import fetch
from steps.cli.types import ROOT
from stockpred.columns import DATE, MODEL_VERSION, SCORED_AT, SYMBOL
from stockpred.monitoring.age import DAYS_LATE
from stockpred.monitoring.alerts import BEHIND

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def is_in_ledger(client: "MlflowClient", run: "Run", uri: str) -> bool:
    """Whether a ledger holds the forecasts of a `score` run of the same model and bars.

    Parameters
    ----------
    client : MlflowClient
    run : Run
        A finished run of `score`.
    uri : str
        Ledger.

    Returns
    -------
    bool
        False, too, where the ledger or the forecasts are gone.
    """
    version = run.data.tags.get(TAG_MODEL_VERSION, "").rpartition("/")[2]
    try:
        with scratch_folder("reuse") as folder:
            forecasts = fetch(client, f"runs:/{run.info.run_id}/predictions.parquet", ROOT, folder)
            rows = read_table(forecasts)
        newest = pc.max(rows[DATE])
        wanted = rows.filter(pc.equal(rows[DATE], newest))[SYMBOL].to_pylist()
        ledger = Ledger(uri, ROOT, DATE).read(pc.field(DATE) == newest, [SYMBOL, MODEL_VERSION])
    except InputError:
        return False
    held = ledger.filter(pc.equal(ledger[MODEL_VERSION], version))[SYMBOL].to_pylist()
    return set(wanted) <= set(held)


def is_up_to_date(client: "MlflowClient", run: "Run", name: str, uri: str, today: dt.date) -> bool:
    """Whether a `monitor` run of the same bars is what one would find today.

    Parameters
    ----------
    client : MlflowClient
    run : Run
        A finished run of `monitor`.
    name : str
        Registered model.
    uri : str
        Ledger.
    today : date
        UTC.

    Returns
    -------
    bool
        Whether the same version forecasts, no version has been added or moved since, the ledger
        has got no row since, and the newest bar is not so old by now that this is an alert.
    """
    if _is_feed_behind(run, today):
        return False
    try:
        resolved = resolve(client, AUTO, name)
        scored = Ledger(uri, ROOT, DATE).read(columns=[SCORED_AT])[SCORED_AT]
    except InputError:
        return False
    if run.data.tags.get(TAG_MODEL_VERSION) != f"{resolved.name}/{resolved.version}":
        return False
    began = run.info.start_time  # ms
    changed = max(int(version.last_updated_timestamp or 0) for version in versions(client, name))
    return changed < began and pc.max(scored).as_py().timestamp() * 1000 < began


def _is_feed_behind(run: "Run", today: dt.date) -> bool:
    """Whether the newest bar that a `monitor` run saw is over `BEHIND` weekdays old today."""
    late = run.data.metrics.get(DAYS_LATE)
    if late is None:  # the source has an end
        return False
    began = dt.datetime.fromtimestamp(run.info.start_time / 1000, dt.UTC).date()
    return bool(late + np.busday_count(began, today) > BEHIND)
