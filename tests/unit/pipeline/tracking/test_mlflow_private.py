"""MLflow's private names are as this project uses them."""

import inspect
import tomllib
from importlib.metadata import version

import pytest

from pipeline.tracking import mlflow_private as private
from tests.support.paths import ROOT

RESPONSE_FIELDS = {
    private.CreateExperiment: ["experiment_id"],
    private.CreateRun: ["run"],
    private.CreateLoggedModel: ["model"],
    private.CreateModelVersion: ["model_version"],
    private.LogOutputs: [],
    private.SearchRuns: ["runs", "next_page_token"],
    private.SearchLoggedModels: ["models", "next_page_token"],
    private.SearchModelVersions: ["model_versions", "next_page_token"],
}
SIGNATURES = {
    private.TrackingRestStore._call_endpoint: (
        "(self, api, json_body=None, endpoint=None, retry_timeout_seconds=None, "
        "response_proto=None)"
    ),
    private.RegistryRestStore._call_endpoint: (
        "(self, api, json_body, call_all_endpoints=False, extra_headers=None)"
    ),
    private.RegistryRestStore._get_endpoint_from_method: "(self, method)",
    private.MlflowArtifactsRepository.log_artifacts: "(self, local_dir, artifact_path=None)",
    private.MlflowArtifactsRepository.log_artifact: "(self, local_file, artifact_path=None)",
    private.MlflowArtifactsRepository.list_artifacts: "(self, path=None)",
    private.MlflowArtifactsRepository.delete_artifacts: "(self, artifact_path=None)",
    private.MlflowArtifactsRepository._download_file: "(self, remote_file_path, local_path)",
    private.get_or_create_run: (
        "(run_id, uri, experiment_id, work_dir, version, entry_point, parameters)"
    ),
    private.load_backend: "(backend_name)",
    private.MlflowClient._raise_if_prompt: "(self, name: str) -> None",
    private.current_experiment_id: "() -> str | None",
    private.register_tracking_store: "(scheme, builder)",
    private.registry_stores().register: "(scheme, store_builder)",
    private.artifact_repositories.register: "(scheme, repository)",
    private.get_default_host_creds: "(store_uri)",
    private.parse_dict: "(js_dict, message)",
    private.verify_rest_response: "(response, endpoint, expected_status: int = 200)",
}


def test_mlflow_minor_version_is_pinned_and_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "mlflow>=3.17,<3.18" in project["dependencies"]
    assert "mlflow[auth]>=3.17,<3.18" in project["optional-dependencies"]["server"]
    assert version("mlflow").startswith("3.17.")


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_mlflow_function_has_the_signature_it_is_called_by(function: object) -> None:
    assert str(inspect.signature(function)) == SIGNATURES[function]


@pytest.mark.parametrize("api", RESPONSE_FIELDS, ids=lambda api: api.__name__)
def test_mlflow_response_has_the_fields_that_are_read(api: type) -> None:
    assert list(api.Response.DESCRIPTOR.fields_by_name) == RESPONSE_FIELDS[api]


def test_mlflow_http_request_takes_one_attempt_without_raising() -> None:
    assert {"max_retries", "raise_on_status", "timeout"} <= set(
        inspect.signature(private.http_request).parameters
    )
    assert {408, 429, 500, 502, 503, 504} == private.TRANSIENT_STATUSES


def test_mlflow_stores_have_the_attributes_that_are_used() -> None:
    repository = private.MlflowArtifactsRepository("mlflow-artifacts://h/0", "http://h")
    assert callable(repository.thread_pool.submit)
    paths = private.TrackingRestStore._METHOD_TO_INFO
    assert paths[private.CreateRun] == ("/api/2.0/mlflow/runs/create", "POST")
    registry = private.RegistryRestStore(lambda: None)
    path, method = registry._get_endpoint_from_method(private.CreateModelVersion)
    assert (path, method) == ("/api/2.0/mlflow/model-versions/create", "POST")
