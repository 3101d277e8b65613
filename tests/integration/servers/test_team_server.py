"""A team's server: PostgreSQL, proxied artifacts, no shared disk, passwords, two at once."""

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import requests
from mlflow import MlflowClient

from benchmarks.chains import STEPS, table
from tests.support.servers.model_server import read_address
from tests.support.servers.team_server import QUICK, TeamClient, TeamServer, run_team_server
from tests.support.servers.tracking_server import free_port

pytestmark = pytest.mark.run
EXECUTED, CACHED = dict.fromkeys(STEPS, "executed"), dict.fromkeys(STEPS, "cached")


@pytest.mark.long
def test_clients_without_a_shared_disk_can_do_everything(
    shared: TeamServer, tmp_path: Path
) -> None:
    uri, folder = shared.server.uri, shared.folder
    first = TeamClient(tmp_path / "a", uri, folder)
    commit = first.commit()
    assert first.main() == EXECUTED
    shutil.rmtree(tmp_path / "a")
    client = TeamClient(tmp_path / "b", uri, folder)
    code, output = client.run("main", **QUICK)
    assert code == 0 and {step: how for step, (how, _) in table(output).items()} == CACHED
    check_run_pages(uri)
    # As printed: the command names the server and the experiment.
    pasted = output.split("Try next:")[1].strip().splitlines()[1]
    unset = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
    env = {name: value for name, value in client.env.items() if name not in unset}
    done = subprocess.run(["bash", "-c", pasted], cwd="/", env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 forecasts of 2 symbols" in figure(shared, done.stdout, "score")
    versions = dict(
        shared.query("select version, value from model_version_tags where key = 'git_commit'")
    )
    assert versions == {1: commit}
    # What runs now takes the table and the recipe from the server.
    again = client.main(refit_every="300")
    new = dict.fromkeys(("evaluate", "report", "register"), "executed")
    assert again == {**CACHED, **new}
    assert client.main(window="10")["train"] == "executed"
    assert shared.query("select count(*) from model_versions") == [(2,)]

    def step(name: str, **options: str) -> str:
        code, output = client.run(name, **options)
        assert code == 0, output
        return output

    ledger = str(tmp_path / "ledger")
    assert "2 forecasts of 2 symbols" in figure(shared, step("score", to=ledger), "score")
    step("monitor", ledger=ledger)
    for version in ("1", "2"):
        uri = f"models:/stockpred/{version}"
        step("register", action="promote", model_uri=uri, reason="it is the turn of this one")
    step("register", action="rollback", reason="why not")
    history = step("register", action="history")
    assert history.count("(by hand)") >= 3 and "Champion of stockpred now: version 1" in history
    step("daily", ledger=ledger, symbols="AAPL,IBM", models="prior,logistic", folds="3")
    with serving(client) as address:
        with urlopen(f"{address}/example", timeout=600) as answer:
            body = answer.read()
        request = Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=600) as answer:
            assert len(json.loads(answer.read())["predictions"]) == 1
    assert "removed the artifacts of" in step("prune", keep="1")
    assert list(client.temp.iterdir()) == [], "a step left something in the temp folder"


@pytest.mark.long
def test_two_concurrent_mains_register_one_version(shared: TeamServer, tmp_path: Path) -> None:
    clients = [TeamClient(tmp_path / name, shared.server.uri, shared.folder) for name in "ab"]
    assert clients[0].main() == EXECUTED
    code, output = clients[0].run(
        "register", action="promote", model_uri="models:/stockpred/1", reason="a start"
    )
    assert code == 0, output
    for number, start in enumerate(("2011-01-03", "2011-01-04"), start=2):
        with ThreadPoolExecutor() as pool:
            ends = [pool.submit(client.run, "main", **QUICK, start=start) for client in clients]
            both = [end.result() for end in ends]
        assert [code for code, _ in both] == [0, 0], both
        assert not [output for _, output in both if "Traceback" in output]
        versions = shared.query("select source, storage_location from model_versions")
        assert len(set(versions)) == len(versions) == number, "one model, though both have made it"
        unfinished = "select name, status from runs where status <> 'FINISHED'"
        assert shared.query(unfinished) == [], both
        [champion] = shared.query(
            "select version from registered_model_aliases where alias = 'champion'"
        )
        assert [champion] == shared.query(
            "select version from model_version_tags where key = 'stage' and value = 'Production'"
        )
        assert not [row for row in shared.census() if row[:3] == ("notes", "stockpred", "turn")]
        assert clients[1].main(start=start) == CACHED
    clients[1].load(f"models:/stockpred/{version}" for version in range(1, number + 1))


def check_run_pages(uri: str) -> None:
    """Ask the API for what MLflow's UI shows of an executed and of a cached chain."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("team").experiment_id
    is_main = "tags.`mlflow.project.entryPoint` = 'main'"
    listed = client.search_runs([experiment], is_main, order_by=["metrics.log_loss ASC"])
    runs = [client.get_run(run.info.run_id) for run in listed]
    one, other = runs
    shown = {"symbols", "bars", "rows", "cv_log_loss", "log_loss", "lead", "p_value", "auc"}
    assert one.data.metrics == other.data.metrics and shown <= one.data.metrics.keys()
    assert one.info.run_name == other.info.run_name
    assert one.info.run_name == f"us2 h1 {one.data.tags['candidate']} folds=3 refit_every=200"
    assert {run.data.tags["pipeline.step.train.status"] for run in runs} == {"executed", "cached"}
    models = [[model.model_id for model in run.outputs.model_outputs] for run in runs]
    assert models[0] == models[1] and len(models[0]) == 1
    data = [{d.dataset.digest for d in run.inputs.dataset_inputs} for run in runs]
    assert data[0] == data[1] and data[0]
    ranking = [{"field_name": "metrics.log_loss", "ascending": True}]
    [ranked] = client.search_logged_models([experiment], order_by=ranking)
    assert [ranked.model_id] == models[0]
    assert "log_loss" in {metric.key for metric in ranked.metrics}


def figure(shared: TeamServer, output: str, name: str) -> str:
    """The key figure of the newest run of an entry point."""
    [[text]] = shared.query(
        "select f.value from tags f join tags e using (run_uuid) join runs r using (run_uuid) "
        f"where f.key = 'pipeline.key_figure' and e.value = '{name}' "
        "order by r.start_time desc limit 1"
    )
    return str(text)


@contextlib.contextmanager
def serving(client: TeamClient) -> Iterator[str]:
    process = client.start("serve", port="0")
    try:
        yield read_address(process)
        process.terminate()
        process.communicate(timeout=600)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long
def test_artifact_damaged_on_the_server_is_made_anew(shared: TeamServer, tmp_path: Path) -> None:
    client = TeamClient(tmp_path / "a", shared.server.uri, shared.folder)
    client.main()
    [table] = (shared.folder / "artifacts").rglob("features.parquet")
    table.write_bytes(bytes(reversed(table.read_bytes())))
    code, output = client.run("main", symbols="AAPL,IBM", models="prior", folds="3")
    assert code == 1 and "expected the bytes that its run wrote" in output
    again = client.main(models="prior")
    assert again["features"] == "executed" and again["validate"] == "cached"


ADMIN, SECRET = "the-admin-s-own-password", "hunter2-is-no-password"


@pytest.mark.long
def test_server_with_passwords_works_and_stores_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    config = tmp_path / "auth.ini"
    config.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\n"
        "admin_username = admin\ngrant_default_workspace_access = false\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of this test",
    }
    with run_team_server(folder, ("--app-name", "basic-auth"), env) as shared:
        uri = shared.server.uri
        names = {"MLFLOW_TRACKING_USERNAME": "plain"}
        user = {"username": "plain", "password": SECRET}
        path = f"{uri}/api/2.0/mlflow/users/create"
        requests.post(path, json=user, auth=("admin", ADMIN), timeout=600).raise_for_status()
        wrong = TeamClient(
            tmp_path / "a", uri, folder, **names, MLFLOW_TRACKING_PASSWORD="wrong-one"
        )
        code, output = wrong.run("main")
        assert code == 1
        [line] = [line for line in output.splitlines() if line]
        assert line.startswith(f"error: {uri}: no access for user 'plain' (401). Fix: set MLFLOW_")
        assert shared.query("select count(*) from runs") == [(0,)]
        client = TeamClient(tmp_path / "b", uri, folder, **names, MLFLOW_TRACKING_PASSWORD=SECRET)
        small = {"symbols": "AAPL,IBM", "models": "prior,logistic", "folds": "3"}
        outputs = {}
        for name, options in {
            "main": small,
            "score": {},
            "register": {"action": "history"},
            "daily": {**small, "ledger": str(tmp_path / "ledger"), "window": "10"},
            "prune": {"keep": "1"},
        }.items():
            code, outputs[name] = client.run(name, **options)
            assert code == 0, outputs[name]
        assert "Champion of stockpred now:" in outputs["register"]
        # As printed: the user's shell has the password, the command has not.
        pasted = outputs["main"].split("Try next:")[1].strip().splitlines()[1]
        done = subprocess.run(
            ["bash", "-c", pasted], cwd="/", env=client.env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "2 forecasts of 2 symbols" in figure(shared, done.stdout, "score")
        assert re.search("removed the artifacts of [1-9]", outputs["prune"])
        assert SECRET not in "".join(outputs.values()) + shared.server.log.read_text()
        assert not [row for row in shared.census() if SECRET in str(row)]
        for table in ("params", "tags", "logged_model_tags", "model_version_tags"):
            assert not shared.query(f"select * from {table} t where t::text like '%{SECRET}%'")
        files = [path for path in (folder / "artifacts").rglob("*") if path.is_file()]
        assert files and not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.long
def test_missing_server_is_one_line_within_a_minute(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "server").mkdir()
    client = TeamClient(tmp_path / "a", uri, tmp_path / "server")
    began = time.monotonic()
    code, output = client.run("main")
    assert code == 1 and time.monotonic() - began < 60
    [line] = output.splitlines()
    assert line.startswith(f"error: {uri}: no tracking server for 30 s (Connection refused). Fix: ")
    assert list(client.temp.iterdir()) == []
