"""Search of runs over all pages of the store's answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # runs a request


def all_runs(
    client: MlflowClient,
    experiment_ids: Sequence[str],
    filter_string: str = "",
    order_by: Sequence[str] = ("attributes.start_time ASC",),
) -> Iterator[Run]:
    """Yield every run that matches, page by page.

    Parameters
    ----------
    client : MlflowClient
    experiment_ids : sequence of str
    filter_string : str
        In MLflow's search syntax; empty: all runs.
    order_by : sequence of str
        In MLflow's syntax; the default is oldest first.

    Yields
    ------
    Run
        Not deleted.
    """
    token = None
    while True:
        page = client.search_runs(
            list(experiment_ids),
            filter_string,
            max_results=PAGE,
            order_by=list(order_by),
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return
