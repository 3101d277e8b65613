"""Checks of access to the workbench's two services, and of data kept in its volumes."""

import hashlib
import http.client
import json
import os
import tempfile
from pathlib import Path


def send_request(
    port: int, path: str, method: str = "GET", body: object = None, **headers: str
) -> tuple[int, str]:
    """Send one request to 127.0.0.1, without redirects; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    content = None if body is None else json.dumps(body)
    if content:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, content, headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def check_jupyter(port: int, token: str) -> None:
    """Check that JupyterLab requires its token and a local host name."""
    assert send_request(port, "/api")[0] == 200  # its version, read by the health check
    right = {"Authorization": f"token {token}"}
    for path in ("/api/contents", "/api/kernels", "/api/terminals", "/api/sessions"):
        assert send_request(port, path)[0] == 403
        for wrong in ("", "wrong", token[:-1], token.swapcase()):
            assert send_request(port, path, Authorization=f"token {wrong}")[0] == 403
            assert send_request(port, f"{path}?token={wrong}")[0] == 403
        assert send_request(port, path, **right)[0] == 200
    for path in ("/lab", "/lab/tree/notebooks", "/lab/workspaces/default"):
        assert send_request(port, path)[0] == 302  # to the login page
    assert "/login" in _location(port, "/lab")
    assert send_request(port, "/api/kernels", "POST", {"name": "python3"})[0] == 403
    assert send_request(port, "/api/contents", **right, Host="evil.example")[0] == 403
    assert send_request(port, f"/lab?token={token}", Host=f"localhost:{port}")[0] in (200, 302)
    # The file of secrets is hidden.
    assert send_request(port, "/api/contents/.env", **right)[0] == 404


def check_tracking(port: int) -> None:
    """Check that the tracking server refuses other host names and other origins."""
    search = "/api/2.0/mlflow/experiments/search?max_results=1"
    for name in (f"127.0.0.1:{port}", f"localhost:{port}", "mlflow:5000"):
        assert send_request(port, search, Host=name)[0] == 200
    for name in ("evil.example", f"evil.example:{port}", "mlflow:5001", "localhost.evil.example:1"):
        status, text = send_request(port, search, Host=name)
        assert (status, "Invalid Host" in text) == (403, True), name
    status, _ = send_request(
        port,
        "/api/2.0/mlflow/experiments/create",
        "POST",
        {"name": "from-elsewhere"},
        Origin="http://evil.example",
    )
    assert status == 403


def log_sample(uri: str) -> dict[str, str]:
    """Log a metric, a file and a registered version; return what `check_sample` compares."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    name = f"kept-{os.urandom(4).hex()}"
    run = client.create_run(client.create_experiment(name))
    client.log_metric(run.info.run_id, "answer", 42.5)
    content = os.urandom(1 << 20)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kept.bin").write_bytes(content)
        client.log_artifact(run.info.run_id, str(Path(folder) / "kept.bin"))
    client.create_registered_model(name)
    source = f"runs:/{run.info.run_id}/kept.bin"
    version = client.create_model_version(
        name, source, run_id=run.info.run_id, await_creation_for=0
    )
    client.set_registered_model_alias(name, "champion", version.version)
    client.update_run(run.info.run_id, status="FINISHED")
    return {"name": name, "run": run.info.run_id, "sha256": hashlib.sha256(content).hexdigest()}


def check_sample(uri: str, sample: dict[str, str]) -> None:
    """Check that the data of `log_sample` are complete, with artifacts from the proxy."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    run = client.get_run(sample["run"])
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"answer": 42.5})
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(sample["run"], "kept.bin", folder)
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sample["sha256"]
    version = client.get_model_version_by_alias(sample["name"], "champion")
    assert version.run_id == sample["run"]


def _location(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.getheader("Location") or ""
