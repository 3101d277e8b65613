"""Manifests for Kubernetes and the backends' configurations, without a cluster."""

import json
import re
from typing import Any

import pytest
import yaml
from mlflow.projects import _parse_kubernetes_config
from mlflow.projects.databricks import before_run_validations
from mlflow.projects.utils import get_entry_point_command, load_project

from tests.support.paths import ROOT

FOLDER = ROOT / "docker" / "kubernetes"
kubernetes = pytest.importorskip("kubernetes", reason="no package kubernetes: uv sync brings it")
schemas = pytest.importorskip("kubernetes_validate", reason="uv sync brings kubernetes-validate")


def manifest(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))


def check(document: dict[str, Any]) -> None:
    """Check a document against the schema of its kind, in which other fields are errors."""
    schemas.validate(document, schemas.latest_version(), strict=True)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The Job that MLflow makes of the template for `main`."""
    # Imports the package kubernetes.
    from mlflow.projects.kubernetes import _get_kubernetes_job_definition, _get_run_command

    monkeypatch.chdir(ROOT)
    config = _parse_kubernetes_config(json.loads((FOLDER / "backend.json").read_text()))
    project = load_project(str(ROOT / "docker" / "project"))
    params = {"phase": "ideation", "symbols": "AAPL,MSFT"}
    command = get_entry_point_command(project, "main", params, None)
    env = {"MLFLOW_RUN_ID": "0123", "MLFLOW_TRACKING_URI": "https://mlflow.example.org"}
    return dict(
        _get_kubernetes_job_definition(
            project.name,
            f"{config['repository-uri']}:0123456",
            "sha256:" + "0" * 64,
            _get_run_command(command),
            env,
            config["kube-job-template"],
        )
    )


def test_job_of_the_template_fits_the_schema_and_runs_main(job: dict[str, Any]) -> None:
    check(job)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"])
    assert len(job["metadata"]["name"]) <= 63
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "steps.main"]
    assert container["command"][-1] == "text"  # value of the last parameter
    assert container["command"][container["command"].index("--symbols") + 1] == "AAPL,MSFT"
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables["MLFLOW_RUN_ID"] == "0123" and variables["PYTHONUNBUFFERED"] == "1"
    assert container["image"].startswith("registry.example.com/team/stockpred:0123456@sha256:")


def test_job_with_an_unknown_field_does_not_fit_the_schema(job: dict[str, Any]) -> None:
    job["spec"]["template"]["spec"]["restartpolicy"] = "Never"
    with pytest.raises(schemas.ValidationError):
        check(job)


def test_job_runs_the_images_code_as_its_user_once() -> None:
    spec = manifest("job")["spec"]
    dockerfile = (ROOT / "docker" / "pipeline" / "Dockerfile").read_text()
    [*_, folder] = re.findall(r"^WORKDIR (\S+)$", dockerfile, re.MULTILINE)
    [user] = re.findall(r"useradd --uid (\d+)", dockerfile)
    [container] = spec["template"]["spec"]["containers"]
    assert container["workingDir"] == folder
    assert spec["template"]["spec"]["securityContext"]["runAsUser"] == int(user)
    assert (spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]) == (0, "Never")


def test_dask_pods_and_network_policy_fit_their_schemas() -> None:
    check(manifest("dask-network"))
    cluster = manifest("dask-cluster")["spec"]
    for part in ("scheduler", "worker"):
        [container] = cluster[part]["spec"]["containers"]
        assert {"name": "PYTHONPATH", "value": container["workingDir"]} in container["env"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": part}}
        check({**pod, "spec": cluster[part]["spec"]})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "scheduler"}}
    check({**service, "spec": cluster["scheduler"]["service"]})


def test_scheduler_is_reached_from_within_the_cluster_by_named_pods_alone() -> None:
    cluster, policy = manifest("dask-cluster"), manifest("dask-network")
    service = cluster["spec"]["scheduler"]["service"]
    assert service["type"] == "ClusterIP"
    selected = policy["spec"]["podSelector"]["matchLabels"]
    assert selected == {"dask.org/cluster-name": cluster["metadata"]["name"]}
    assert selected.items() <= service["selector"].items()
    [rule] = policy["spec"]["ingress"]
    labels = [
        source["podSelector"]["matchLabels"] for source in rule["from"] if "podSelector" in source
    ]
    assert labels == [selected, manifest("job")["spec"]["template"]["metadata"]["labels"]]
    spaces = {document["metadata"]["namespace"] for document in map(manifest, NAMES)}
    assert len(spaces) == 1


NAMES = ("job", "dask-cluster", "dask-network")


def test_databricks_configuration_passes_mlflows_checks() -> None:
    config = json.loads((ROOT / "docker" / "databricks" / "backend.json").read_text())
    before_run_validations("databricks", config)
    assert set(config) == {"new_cluster", "libraries"}
    assert {"spark_version", "node_type_id", "num_workers"} <= set(config["new_cluster"])
