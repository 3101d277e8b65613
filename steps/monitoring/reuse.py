"""Whether the forecasts and the monitoring of an earlier night are those of tonight, too."""

import datetime as dt
import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from pipeline.errors import InputError
from pipeline.process.scratch import scratch_folder
from pipeline.registry.history import history
from pipeline.registry.model_uri import AUTO, resolve
from pipeline.registry.versions import versions
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import read_table
from pipeline.tags import TAG_MODEL_VERSION
from pipeline.tracking.artifacts import fetch
from steps.cli.types import ROOT
from stockpred.columns import DATE, MODEL, MODEL_VERSION, SCORED_AT, SYMBOL
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
    name, _, version = run.data.tags.get(TAG_MODEL_VERSION, "").rpartition("/")
    try:
        with scratch_folder("reuse") as folder:
            forecasts = fetch(client, f"runs:/{run.info.run_id}/predictions.parquet", ROOT, folder)
            rows = read_table(forecasts)
        newest = pc.max(rows[DATE])
        wanted = rows.filter(pc.equal(rows[DATE], newest))[SYMBOL].to_pylist()
        night = pc.field(DATE) == newest
        ledger = Ledger(uri, ROOT, DATE).read(night, [SYMBOL, MODEL, MODEL_VERSION])
    except InputError:
        return False
    is_own = pc.and_(pc.equal(ledger[MODEL], name), pc.equal(ledger[MODEL_VERSION], version))
    return set(wanted) <= set(ledger.filter(is_own)[SYMBOL].to_pylist())


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
        Whether the same version forecasts, in the same role, no version has been added or moved
        since, the ledger has got no row since, and the newest bar is not so old by now that this is
        an alert.
    """
    if _is_feed_behind(run, today):
        return False
    try:
        resolved = resolve(client, AUTO, name)
        if run.data.tags.get(TAG_MODEL_VERSION) != f"{resolved.name}/{resolved.version}":
            return False
        scored = Ledger(uri, ROOT, DATE).read(columns=[SCORED_AT])[SCORED_AT]
        with scratch_folder("reuse") as folder:
            path = fetch(client, f"runs:/{run.info.run_id}/monitoring.json", ROOT, folder)
            content = json.loads(path.read_text())
    except InputError:
        return False
    # The registry does not date aliases and tags.
    moves = [transition.to_dict() for transition in history(client, name)]
    if content["champion"]["alias"] != resolved.alias or content["moves"] != moves:
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
