"""Check of the registered name before a chain begins: hours later it would be too late."""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.process.scratch import scratch_folder
from pipeline.tracking.artifacts import fetch
from sources import YAHOO, open_source
from steps.cli.types import ROOT
from steps.data.trained_source import absolute_source
from steps.registration.data_kind import check_kind
from stockpred.gate.universe import Universe, universe_of

if TYPE_CHECKING:
    from mlflow import MlflowClient


def check_registered_name(client: "MlflowClient", params: Mapping[str, Any]) -> None:
    """Refuse a chain whose data are of another kind than its registered name belongs to.

    Parameters
    ----------
    client : MlflowClient
    params : mapping of str to object
        Typed parameters of the chain, with the instant `as_of`.

    Raises
    ------
    ParameterError
        As `data_kind.check_kind`, or the source lacks a symbol.
    DataError
        The files cannot be read.
    """

    def universe() -> Universe:
        if params["source"] == YAHOO:
            return universe_of(params["symbols"])
        # The snapshot, or a file that the name has not seen; `acquire` reads it once more.
        as_of: dt.datetime = params["as_of"]
        bars = open_source(params["source"], ROOT, as_of).read(
            params["symbols"], params["start"], params["end"]
        )
        return universe_of(bars.info.calendars)

    with scratch_folder("name") as folder:
        check_kind(
            client,
            params["registered_model"],
            lambda uri: fetch(client, uri, ROOT, folder),
            absolute_source(params["source"]),
            universe,
        )
