"""REST stores whose create calls are idempotent, and retries of calls that MLflow gives up on.

MLflow's client repeats any call (seven times in four minutes) whenever a connection breaks or an
answer is 408, 429 or 5xx. Most calls may be repeated: a tag, a parameter, an alias, a status and a
file are the same the second time, and a metric is one row for its run, name, value, time and step.
But a second create call makes a second run, model or version. So a create call carries an
idempotency key as a tag and is sent once; where no answer comes, the server is searched for the key
before the call is sent again.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import ChunkedEncodingError

from pipeline.tags import TAG_IDEMPOTENCY_KEY
from pipeline.tracking import mlflow_private as private

if TYPE_CHECKING:
    from mlflow.utils.rest_utils import MlflowHostCreds

RETRY_DELAYS = (1, 2, 4, 8, 16, 32, 64)  # seconds; longer than a server works on one call
# A row that exists already, as PostgreSQL, SQLite and MySQL report it.
COLLISION = re.compile("UniqueViolation|UNIQUE constraint failed|Duplicate entry")

T = TypeVar("T")
Body = Mapping[str, Any]
Message = Any  # of protobuf, whose package has no types


class OutcomeUnknown(MlflowException):
    """A call had no answer: the server may or may not have carried it out."""


def install() -> None:
    """Have MLflow use these stores for http(s) URIs in this process."""
    for scheme in ("http", "https"):
        private.register_tracking_store(
            scheme, lambda store_uri, **_: TrackingStore(_creds(store_uri))
        )
        private.registry_stores().register(
            scheme, lambda store_uri, **_: RegistryStore(_creds(store_uri))
        )


def _creds(uri: str) -> "Callable[[], MlflowHostCreds]":
    return partial(private.get_default_host_creds, uri)


def create_once(create: Callable[[], T], find: Callable[[], T | None]) -> T:
    """Create an object, and look for it before each retry: idempotent where `create` is not.

    Retried after `RETRY_DELAYS`, two minutes in all, while the outcome is unknown.

    Parameters
    ----------
    create : callable
        Sends the call; raises `OutcomeUnknown` where no answer comes.
    find : callable
        Returns the created object, None where the server has none.

    Returns
    -------
    object
        What `create` or `find` returned.

    Raises
    ------
    OutcomeUnknown
        No answer to the last attempt either.
    """
    for delay in RETRY_DELAYS:
        try:
            return create()
        except OutcomeUnknown:
            time.sleep(delay)
            if (existing := find()) is not None:
                return existing
    return create()


def retry(call: Callable[[], T]) -> T:
    """Make an idempotent call, and repeat it in the two cases in which MLflow does not.

    These are an answer that breaks off after its head, and a repeat of MLflow's that the server
    refused because it was still at work on the first. Retried after `RETRY_DELAYS`, two minutes in
    all; any other error is raised at once.
    """
    for delay in RETRY_DELAYS:
        try:
            return call()
        except (MlflowException, ChunkedEncodingError) as error:
            has_collided = isinstance(error, RestException) and COLLISION.search(error.message)
            is_broken_off = ChunkedEncodingError in (type(error), type(error.__context__))
            if not (has_collided or is_broken_off):
                raise
        time.sleep(delay)
    return call()


class TrackingStore(private.TrackingRestStore):
    """Runs and logged models of a server."""

    def _call_endpoint(
        self, api: type[Message], json_body: str | None = None, *args: object, **kwargs: object
    ) -> Message:
        if api in CREATE_CALLS:
            return _create(self, api, self._METHOD_TO_INFO[api], json_body)
        return retry(partial(super()._call_endpoint, api, json_body, *args, **kwargs))


class RegistryStore(private.RegistryRestStore):
    """Registered models of a server."""

    def _call_endpoint(
        self, api: type[Message], json_body: str, *args: object, **kwargs: object
    ) -> Message:
        if api in CREATE_CALLS:
            return _create(self, api, self._get_endpoint_from_method(api), json_body)
        return retry(partial(super()._call_endpoint, api, json_body, *args, **kwargs))


def _create(
    store: TrackingStore | RegistryStore,
    api: type[Message],
    endpoint: tuple[str, str],
    json_body: str | None,
) -> Message:
    body = json.loads(json_body or "{}")
    key = uuid4().hex
    if api in TAGGED_CALLS:
        body["tags"] = [*body.get("tags", ()), {"key": TAG_IDEMPOTENCY_KEY, "value": key}]
    where = f"tags.`{TAG_IDEMPOTENCY_KEY}` = '{key}'"
    creds = store.get_host_creds()
    return create_once(
        lambda: _send_once(creds, endpoint, body, api.Response()),
        lambda: CREATE_CALLS[api](store, body, where),
    )


def _send_once(
    creds: "MlflowHostCreds", endpoint: tuple[str, str], body: Body, answer: Message
) -> Message:
    """Send one request, which MLflow does not repeat."""
    path, method = endpoint
    try:
        response = private.http_request(
            creds, path, method, max_retries=0, raise_on_status=False, json=body
        )
    except MlflowException as error:
        raise OutcomeUnknown(error.message) from error
    if response.status_code in private.TRANSIENT_STATUSES:
        raise OutcomeUnknown(f"{method} {path}: the server answered {response.status_code}")
    private.parse_dict(json.loads(private.verify_rest_response(response, path).text), answer)
    return answer


# Each finds what a create call made, as its answer; `where` filters by the idempotency key.


def _find_experiment(store: TrackingStore, body: Body, where: str) -> Message | None:
    experiment = store.get_experiment_by_name(body["name"])  # names are unique
    if experiment is None:
        return None
    return private.CreateExperiment.Response(experiment_id=experiment.experiment_id)


def _find_run(store: TrackingStore, body: Body, where: str) -> Message | None:
    query = {"experiment_ids": [body["experiment_id"]], "filter": where, "max_results": 1}
    runs = store._call_endpoint(private.SearchRuns, json.dumps(query)).runs
    return private.CreateRun.Response(run=runs[0]) if runs else None


def _find_logged_model(store: TrackingStore, body: Body, where: str) -> Message | None:
    query = {"experiment_ids": [body["experiment_id"]], "filter": where}
    models = store._call_endpoint(private.SearchLoggedModels, json.dumps(query)).models
    return private.CreateLoggedModel.Response(model=models[0]) if models else None


def _find_outputs(store: TrackingStore, body: Body, where: str) -> Message | None:
    outputs = store.get_run(body["run_id"]).outputs
    logged = {model.model_id for model in outputs.model_outputs} if outputs else set()
    is_logged = {model["model_id"] for model in body.get("models", ())} <= logged
    return private.LogOutputs.Response() if is_logged else None


def _find_version(store: RegistryStore, body: Body, where: str) -> Message | None:
    query = json.dumps({"filter": where})
    versions = store._call_endpoint(private.SearchModelVersions, query).model_versions
    return private.CreateModelVersion.Response(model_version=versions[0]) if versions else None


CREATE_CALLS: Mapping[type[Message], Callable[[Any, Body, str], Message | None]] = {
    private.CreateExperiment: _find_experiment,
    private.CreateRun: _find_run,
    private.CreateLoggedModel: _find_logged_model,
    private.LogOutputs: _find_outputs,
    private.CreateModelVersion: _find_version,
}
TAGGED_CALLS = (private.CreateRun, private.CreateLoggedModel, private.CreateModelVersion)
