"""Checks of the demo from outside, over HTTP and by the pipeline's output."""

import json
import re
import subprocess
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.support.paths import ROOT

STEPS = ["acquire", "validate", "features", "train", "evaluate", "report", "register"]


def request_json(
    url: str, body: object = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Send a GET request, or a POST with a body; return status and JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urlopen(request, timeout=120) as response:
            status, content = response.status, response.read()
    except HTTPError as error:
        status, content = error.code, error.read()
    try:
        return status, json.loads(content)
    except ValueError:
        return status, content.decode()


def runs_of(tracking: str, experiment: str = "0") -> list[dict[str, Any]]:
    """List the runs of an experiment, oldest first, by the server's REST API."""
    query = {"experiment_ids": [experiment], "max_results": 1000}
    query["order_by"] = ["attributes.start_time ASC"]
    status, payload = request_json(f"{tracking}/api/2.0/mlflow/runs/search", query)
    assert status == 200, payload
    runs = []
    for run in payload.get("runs", []):
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        runs.append({**run["info"], "tags": tags})
    return runs


def children_of(tracking: str, parent: str) -> list[dict[str, Any]]:
    """List the steps of one chain, oldest first."""
    return [run for run in runs_of(tracking) if run["tags"].get("mlflow.parentRunId") == parent]


def runs_of_entry_point(tracking: str, entry_point: str) -> list[dict[str, Any]]:
    """List the runs of an entry point, oldest first."""
    name = "mlflow.project.entryPoint"
    return [run for run in runs_of(tracking) if run["tags"].get(name) == entry_point]


def step_table(printed: str) -> dict[str, tuple[str, str]]:
    """Parse status and run id by step from the last table in an output."""
    last = printed[printed.rindex("\nstep ") :]
    rows = re.findall(r"^(\w+)\s+(executed|cached)\s.*\s([0-9a-f]{32})$", last, re.MULTILINE)
    return {step: (status, run_id) for step, status, run_id in rows}


def check_runs(tracking: str, printed: str) -> None:
    """Check that seven steps are FINISHED on the server, with their artifacts."""
    [parent] = runs_of_entry_point(tracking, "main")
    assert parent["status"] == "FINISHED"
    children = children_of(tracking, parent["run_id"])
    assert [(c["run_name"], c["status"]) for c in children] == [(s, "FINISHED") for s in STEPS]
    ids = {step: ("executed", run["run_id"]) for step, run in zip(STEPS, children, strict=True)}
    assert step_table(printed) == ids
    listing = f"{tracking}/api/2.0/mlflow/artifacts/list?run_id={children[5]['run_id']}"
    status, payload = request_json(listing)
    assert status == 200 and "report.html" in {file["path"] for file in payload["files"]}
    # A page elsewhere must not reach the server under another host name (DNS rebinding).
    assert request_json(listing, headers={"Host": "elsewhere.example"})[0] == 403


def check_cached(printed: str, before: str) -> None:
    """Check that the last chain reused the runs of the chain before."""
    assert step_table(printed) == {
        step: ("cached", run) for step, (_, run) in step_table(before).items()
    }


def check_model(model: str) -> dict[str, Any]:
    """Check answers to the documented request and to bad ones; return the forecast."""
    status, payload = request_json(f"{model}/model")
    assert (status, payload["name"], str(payload["version"])) == (200, "stockpred", "1")
    forecast = json.loads(documented_request(model))["predictions"][0]
    assert 0 < forecast["probability_up"] < 1 and forecast["direction"] in (0, 1)
    for bad, words in (
        ({"dataframe_records": []}, "row"),
        ({"dataframe_records": [{"symbol": "AAPL"}]}, "column 'date'"),
        ({"rows": 1}, "body"),
    ):
        status, payload = request_json(f"{model}/invocations", bad)
        assert status == 400 and words in payload["error"] and len(payload) == 1
    return dict(forecast)


def documented_request(model: str) -> str:
    """Run the documented command against a test's server; return its output."""
    text = (ROOT / "docs" / "serving.md").read_text()
    [command] = re.findall(r"^```bash\n(curl [^`]*)```", text, re.MULTILINE)
    assert command.count("http://127.0.0.1:5001") == 2
    command = command.replace("http://127.0.0.1:5001", model)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
