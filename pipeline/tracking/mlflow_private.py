"""Names of MLflow that are not its public API, all imported here.

MLflow may change them in any release, so pyproject.toml pins its minor version, and a test compares
their signatures with those that this project was written for. `import mlflow` has loaded all of
these modules: to import this one costs nothing more.
"""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.projects.backend.loader import load_backend
from mlflow.projects.utils import (
    PROJECT_BUILD_IMAGE,
    PROJECT_DOCKER_ARGS,
    PROJECT_DOCKER_AUTH,
    PROJECT_ENV_MANAGER,
    PROJECT_STORAGE_DIR,
    PROJECT_SYNCHRONOUS,
    get_or_create_run,
)
from mlflow.protos.model_registry_pb2 import CreateModelVersion, SearchModelVersions
from mlflow.protos.service_pb2 import (
    CreateExperiment,
    CreateLoggedModel,
    CreateRun,
    LogOutputs,
    SearchLoggedModels,
    SearchRuns,
)
from mlflow.store.artifact.artifact_repository_registry import (
    _artifact_repository_registry as artifact_repositories,
)
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow.store.model_registry.rest_store import RestStore as RegistryRestStore
from mlflow.store.tracking.rest_store import RestStore as TrackingRestStore
from mlflow.tracking._model_registry.utils import _get_store_registry as registry_stores
from mlflow.tracking._tracking_service.utils import _register as register_tracking_store
from mlflow.tracking.fluent import _get_experiment_id as current_experiment_id
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.name_utils import _GENERATOR_NOUNS as RANDOM_NOUNS
from mlflow.utils.name_utils import _GENERATOR_PREDICATES as RANDOM_PREDICATES
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.request_utils import _TRANSIENT_FAILURE_RESPONSE_CODES as TRANSIENT_STATUSES
from mlflow.utils.rest_utils import http_request, verify_rest_response


class StepClient(MlflowClient):
    """A client that sends each write of the registry alone.

    MLflow's gets the registered model before each, to see whether the name is that of a prompt. A
    step reads a model before it writes to it, and that refuses a prompt's name, too.
    """

    def _raise_if_prompt(self, name: str) -> None:
        """Leave the check to the reads."""


def local_run_config(storage_dir: Path) -> dict[str, Any]:
    """Make what `mlflow.projects.run` passes to a backend for a command of this environment."""
    return {
        PROJECT_ENV_MANAGER: "local",
        PROJECT_SYNCHRONOUS: False,
        PROJECT_STORAGE_DIR: str(storage_dir),
        PROJECT_BUILD_IMAGE: False,
        PROJECT_DOCKER_ARGS: None,
        PROJECT_DOCKER_AUTH: None,
    }
