"""Names of MLflow that are not its public API, all imported here.

MLflow may change them in any release, so pyproject.toml pins its minor version, and a test compares
their signatures with those that this package was written for.
"""

from mlflow.projects import _wait_for as wait_for
from mlflow.projects.backend.loader import MLFLOW_BACKENDS
from mlflow.projects.backend.local import LocalBackend
from mlflow.projects.submitted_run import LocalSubmittedRun
from mlflow.projects.utils import (
    PROJECT_ENV_MANAGER,
    PROJECT_STORAGE_DIR,
    PROJECT_SYNCHRONOUS,
    fetch_and_validate_project,
    get_entry_point_command,
    get_or_create_run,
    get_run_env_vars,
    load_project,
)
from mlflow.utils.databricks_utils import get_databricks_env_vars
from mlflow.utils.mlflow_tags import MLFLOW_PROJECT_BACKEND, MLFLOW_RUN_NAME
