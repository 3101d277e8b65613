"""Sessions that a ledger has no forecast of, since a night was missed."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.errors import InputError
from pipeline.log.console import logger
from pipeline.storage.ledger import Ledger
from steps.scoring.batch import DownloadedModel
from stockpred.columns import DATE, MODEL, MODEL_VERSION, SYMBOL

MAX_DAYS = 366  # before the newest bar


def read_last_forecasts(
    ledger: Ledger, model: DownloadedModel, newest: dt.date
) -> dict[str, dt.date]:
    """Read the session of each symbol's last forecast by a version.

    A version without a forecast continues after those of the other versions of its name, so that
    a new champion leaves no hole. A symbol whose last forecast is more than `MAX_DAYS` days before
    the newest bar counts as new; where that holds for all, the ledger continues `MAX_DAYS` days
    before, with a log line that says so.

    Parameters
    ----------
    ledger : Ledger
    model : DownloadedModel
    newest : date
        Of the newest bar.

    Returns
    -------
    dict of str to date
        Only symbols with a forecast: the newest session alone is forecast of the others. Empty
        where there is no ledger yet.
    """
    first = newest - dt.timedelta(days=MAX_DAYS)
    try:
        rows = _rows_of(ledger, model, pc.field(DATE) >= first)
        if not len(rows):  # reads every file: the first night of a model, or after a year
            rows = _rows_of(ledger, model, None)
    except InputError:  # no ledger yet
        return {}
    own = rows.filter(pc.equal(rows[MODEL_VERSION].cast(pa.string()), model.version))
    # Other versions may forecast the newest session at this moment, beside this one.
    rows = own if len(own) else rows.filter(pc.less(rows[DATE], pa.scalar(newest, pa.date32())))
    last = rows.group_by(SYMBOL).aggregate([(DATE, "max")])
    dates = dict(zip(last[SYMBOL].to_pylist(), last[f"{DATE}_max"].to_pylist(), strict=True))
    if (oldest := min(dates.values(), default=first)) < first:
        logger.info(
            f"score: the ledger's last forecast by {model.name or model.version} is of {oldest}: "
            f"the missed sessions of the last {MAX_DAYS} days are scored. Fix: give "
            f"dates={oldest}:{first} to score for those before"
        )
    return {symbol: max(date, first) for symbol, date in dates.items()}


def _rows_of(ledger: Ledger, model: DownloadedModel, where: ds.Expression | None) -> pa.Table:
    """Read symbols, dates and versions of a registered model; of an unregistered one its own."""
    rows = ledger.read(where, [SYMBOL, DATE, MODEL, MODEL_VERSION])
    column, value = (MODEL, model.name) if model.name else (MODEL_VERSION, model.version)
    return rows.filter(pc.equal(rows[column].cast(pa.string()), value))
