"""What is asked of a tracking server is done once, also where its answer is lost.

MLflow's client asks again (seven times in four minutes) whenever a connection breaks or an answer
is 408, 429 or 5xx, whatever it asked for. Most calls may be repeated: a tag, a parameter, an alias,
a status and a file are the same the second time, and a metric is one row for its run, name, value,
time and step. But a second `create` makes a second run, model or version. So these calls bear a
mark, are sent once, and where no answer comes the server is searched for the mark before they are
sent again.
"""

import json
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from mlflow.entities import LoggedModelTag, RunTag
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.model_registry_pb2 import CreateModelVersion
from mlflow.protos.service_pb2 import CreateExperiment, CreateLoggedModel, CreateRun, LogOutputs
from mlflow.store.model_registry import rest_store as registry
from mlflow.store.tracking import rest_store as tracking
from mlflow.tracking._model_registry.utils import _get_store_registry
from mlflow.tracking._tracking_service.utils import _register
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.request_utils import _TRANSIENT_FAILURE_RESPONSE_CODES as TRANSIENT_STATUSES
from mlflow.utils.rest_utils import http_request, verify_rest_response
from requests.exceptions import ChunkedEncodingError as ChunkedEncodingError

from pipeline.tags import TAG_IDEMPOTENCY_KEY

RETRY_DELAYS = (1, 2, 4, 8, 16, 32, 64)  # seconds; what is still at work by then is done
CREATE_CALLS = (CreateExperiment, CreateRun, CreateLoggedModel, LogOutputs, CreateModelVersion)
# Of a row that is there already: PostgreSQL's word for it, SQLite's, MySQL's.
COLLISION = re.compile("UniqueViolation|UNIQUE constraint failed|Duplicate entry")

T = TypeVar("T")


class OutcomeUnknown(MlflowException):
    """Nobody knows whether the server has done what it was asked."""


def install() -> None:
    """Have MLflow use these stores for tracking servers, in this process."""
    for scheme in ("http", "https"):
        _register(scheme, lambda store_uri, **_: TrackingStore(_creds(store_uri)))
        _get_store_registry().register(
            scheme, lambda store_uri, **_: RegistryStore(_creds(store_uri))
        )


def _creds(uri: str) -> Callable[[], Any]:
    return partial(get_default_host_creds, uri)


def create_once(ask: Callable[[], T], look: Callable[[], T | None]) -> T:
    """Ask, and where no answer comes look for what was asked before asking again.

    Parameters
    ----------
    ask : callable
        Raises `OutcomeUnknown` where the outcome is not known.
    look : callable
        What is there by now, or None.
    """
    for pause in RETRY_DELAYS:
        try:
            return ask()
        except OutcomeUnknown:
            time.sleep(pause)
            if (found := look()) is not None:
                return found
    return ask()


def _send_once(creds: Any, path: str, method: str, body: str, answer: Any) -> Any:
    """One request, which MLflow does not repeat by itself."""
    try:
        response = http_request(
            creds, path, method, max_retries=0, raise_on_status=False, json=json.loads(body)
        )
    except MlflowException as error:
        raise OutcomeUnknown(error.message) from error
    if response.status_code in TRANSIENT_STATUSES:
        raise OutcomeUnknown(f"{method} {path}: the server answered {response.status_code}")
    parse_dict(json.loads(verify_rest_response(response, path).text), answer)
    return answer


def retry(ask: Callable[[], T]) -> T:
    """Ask for what may be repeated, and again in the two cases in which MLflow itself does not.

    An answer that breaks off after its head; and a repeat of MLflow's that the server took up
    while it was still at work on the first, and refused.
    """
    for pause in RETRY_DELAYS:
        try:
            return ask()
        except (MlflowException, ChunkedEncodingError) as error:
            collided = isinstance(error, RestException) and COLLISION.search(error.message)
            broken = ChunkedEncodingError in (type(error), type(error.__context__))
            if not (collided or broken):
                raise
        time.sleep(pause)
    return ask()


class TrackingStore(tracking.RestStore):
    """Runs and logged models of a server."""

    def _call_endpoint(self, api: Any, json_body: Any = None, *args: Any, **more: Any) -> Any:
        if api in CREATE_CALLS:
            path, method = self._METHOD_TO_INFO[api]
            return _send_once(self.get_host_creds(), path, method, json_body, api.Response())
        return retry(
            lambda: super(TrackingStore, self)._call_endpoint(api, json_body, *args, **more)
        )

    def create_experiment(self, name: str, *args: Any, **more: Any) -> Any:
        """As RestStore.create_experiment; names are unique."""

        def look() -> Any | None:
            found = self.get_experiment_by_name(name)
            return found.experiment_id if found is not None else None

        return create_once(
            lambda: super(TrackingStore, self).create_experiment(name, *args, **more),
            look,
        )

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int, tags: list[Any], run_name: str
    ) -> Any:
        """As RestStore.create_run."""
        mark = RunTag(TAG_IDEMPOTENCY_KEY, uuid4().hex)
        given = (experiment_id, user_id, start_time, [*tags, mark], run_name)

        def look() -> Any | None:
            where = f"tags.`{TAG_IDEMPOTENCY_KEY}` = '{mark.value}'"
            return next(iter(self.search_runs([experiment_id], where, 1, 1)), None)

        return create_once(lambda: super(TrackingStore, self).create_run(*given), look)

    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: list[Any] | None = None,
        *args: Any,
        **more: Any,
    ) -> Any:
        """As RestStore.create_logged_model."""
        mark = LoggedModelTag(TAG_IDEMPOTENCY_KEY, uuid4().hex)
        given = (experiment_id, name, source_run_id, [*(tags or []), mark], *args)

        def look() -> Any | None:
            where = f"tags.`{TAG_IDEMPOTENCY_KEY}` = '{mark.value}'"
            return next(iter(self.search_logged_models([experiment_id], where)), None)

        return create_once(
            lambda: super(TrackingStore, self).create_logged_model(*given, **more), look
        )

    def log_outputs(self, run_id: str, models: list[Any]) -> None:
        """As RestStore.log_outputs."""
        wanted = {model.model_id for model in models}

        def look() -> bool | None:
            outputs = self.get_run(run_id).outputs
            there = {model.model_id for model in outputs.model_outputs} if outputs else set()
            return True if wanted <= there else None

        def ask() -> bool:
            super(TrackingStore, self).log_outputs(run_id, models)
            return True

        create_once(ask, look)


class RegistryStore(registry.RestStore):
    """Registered models of a server."""

    def _call_endpoint(self, api: Any, json_body: Any, *args: Any, **more: Any) -> Any:
        if api in CREATE_CALLS:
            path, method = self._get_endpoint_from_method(api)
            return _send_once(self.get_host_creds(), path, method, json_body, api.Response())
        return retry(
            lambda: super(RegistryStore, self)._call_endpoint(api, json_body, *args, **more)
        )

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: list[Any] | None = None,
        *args: Any,
        **more: Any,
    ) -> Any:
        """As RestStore.create_model_version."""
        mark = ModelVersionTag(TAG_IDEMPOTENCY_KEY, uuid4().hex)
        given = (name, source, run_id, [*(tags or []), mark], *args)

        def look() -> Any | None:
            quoted = name.replace("'", "''")
            where = f"name = '{quoted}' and tags.`{TAG_IDEMPOTENCY_KEY}` = '{mark.value}'"
            return next(iter(self.search_model_versions(where)), None)

        return create_once(
            lambda: super(RegistryStore, self).create_model_version(*given, **more), look
        )
