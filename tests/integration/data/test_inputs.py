"""Invalid options on the command line: one line, a non-zero exit code, no run created."""

import contextlib
import importlib.util
import shutil
import sqlite3
import sys
from pathlib import Path

import click
import pytest

from steps.cli.command import usage_message
from stockpred.errors import StockpredError
from tests.support.python_processes import run_python
from tests.support.runs.refused_commands import run_refused, started_steps
from tests.support.runs.stores import environment

pytestmark = pytest.mark.run
WRONG_VALUES = [
    ("--horizon", "0", "horizon='0': expected a whole number from 1 to 252"),
    ("--horizon", "1.5", "horizon='1.5': expected a whole number from 1 to 252"),
    ("--horizon", "one", "horizon='one': expected a whole number"),
    ("--holdout", "1", "holdout='1': expected a number above 0 and below 1"),
    ("--holdout", "nan", "holdout='nan': expected a number above 0 and below 1"),
    ("--max_missing", "-0.1", "max_missing='-0.1': expected a number from 0 to below 1"),
    (
        "--models",
        "logistic,oracle",
        "models='logistic,oracle': expected a comma-separated list out of",
    ),
    ("--models", "", "models='': expected a comma-separated list out of prior"),
    ("--feature_sets", "astrology", "feature_sets='astrology': expected a comma-separated list"),
    ("--folds", "1", "folds='1': expected a whole number from 2 to 50"),
    ("--gap", "-1", "gap='-1': expected a whole number from 0"),
    ("--refit_every", "0", "refit_every='0': expected a whole number of at least 1"),
    ("--trials", "-1", "trials='-1': expected a whole number from 0 to 1000"),
    ("--trials", "1001", "trials='1001': expected a whole number from 0 to 1000"),
    ("--train_window", "0", "train_window='0': expected a whole number from 1 to 100000, or all"),
    ("--half_life", "all", "half_life='all': expected a whole number from 1 to 100000, or none"),
    ("--calibration", "platt", "calibration='platt': expected one of none, sigmoid, isotonic"),
    ("--cost_bps", "inf", "cost_bps='inf': expected a number from 0 to below 10000 (basis"),
    ("--short", "yes", "short='yes': expected one of off, on"),
    ("--borrow_bps", "-1", "borrow_bps='-1': expected a number from 0 to below 10000"),
    ("--window", "0", "window='0': expected a whole number from 1 to 252"),
    ("--seed", "4294967296", "seed='4294967296': expected a whole number from 0 to 4294967295"),
    ("--phase", "beta", "phase='beta': expected one of ideation, prototyping, pilot, production"),
    ("--cache", "yes", "cache='yes': expected one of on, off"),
    ("--backend", "kubernetes", "backend='kubernetes': expected one of warm, local"),
    ("--registered_model", "a/b", "registered_model='a/b': expected a name of letters"),
    (
        "--start",
        "2012-13-01",
        "start='2012-13-01': expected an ISO date such as 2012-12-31, or earliest",
    ),
    ("--end", "tomorrow", "end='tomorrow': expected an ISO date such as 2012-12-31, or latest"),
    ("--symbols", "", "symbols='': expected a comma-separated list"),
    ("--symbols", "AAPL,,MSFT", "'', which is no symbol"),
    ("--symbols", "@none.txt", "got no file "),
    ("--source", "", "source='': expected snapshot, yahoo, or a path or URI"),
    ("--source", "yahoo", "symbols='all': expected Yahoo's symbols"),
    ("--as_of", "yesterday", "as_of='yesterday': expected an instant such"),
    ("--as_of", "2024-06-28T21:00", "as_of='2024-06-28T21:00': expected an instant such"),
    ("--as_of", "0001-01-01T00:00+23:59", "got the year"),
    ("--as_of", "9999-12-31T23:59-23:59", "got the year"),
    ("--symbols", "@" + "x" * 5000, "...': expected a comma-separated list such as AAPL,MSFT, or"),
    ("--symbols", "@/proc/self/mem", "got Input/output error on reading /proc/self/mem"),
    ("--symbols", "A" * 5000, "A..."),
    ("--symbols", "A\nB", "'A\\nB', which is no symbol"),
    ("--source", "none.csv", "source='none.csv': expected a file of bars, got no such file ("),
    (
        "--source",
        "docs",
        "source='docs': expected files of bars (.csv, .txt, .parquet, .zip, .gz), ",
    ),
    ("--source", "ftp://x/y", "source='ftp://x/y': expected a readable file"),
    ("--source", "http://127.0.0.1:9/x.csv", "source='http://127.0.0.1:9/x.csv': expected"),
    ("--source", "s3://[bucket/x.csv", "got no URI: Invalid IPv6 URL"),
    ("--horzon", "2", "the unknown option --horzon"),
]


def convert(name: str, value: str) -> str:
    """What the main command says to one option, in this process."""
    from steps.main import main

    try:
        main.command.main([name, value], standalone_mode=False)
    except click.ClickException as error:
        return usage_message(error)
    except StockpredError as error:
        return str(error)
    raise AssertionError(f"{name}={value} was taken")


@pytest.mark.parametrize(("name", "value", "words"), WRONG_VALUES)
def test_invalid_value_is_reported_with_its_rule(name: str, value: str, words: str) -> None:
    message = convert(name, value)
    assert words in message and "\n" not in message and len(message) < 600


def test_candidate_without_its_extra_is_reported_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)  # as where it is not installed
    message = convert("--models", "prior,xgboost")
    assert message.startswith("models='prior,xgboost': expected a comma-separated list")
    assert "uv sync --extra xgboost" in message


def test_end_before_start_is_refused_before_any_run(root: Path, store: Path) -> None:
    before = started_steps(store)
    line = run_refused(root, store, "--start", "2012-01-02", "--end", "2011-01-02")
    assert line.startswith("end='2011-01-02': expected a date from start=2012-01-02 on")
    assert started_steps(store) == before


@pytest.mark.skipif(importlib.util.find_spec("boto3") is not None, reason="its package is there")
def test_store_without_an_installed_package_is_reported_in_one_line(
    root: Path, store: Path, tmp_path: Path
) -> None:
    shutil.copy(store / "store.db", tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
        connection.execute("update experiments set artifact_location = 's3://b/x' where name = 'x'")
    line = run_refused(root, tmp_path, "--symbols", "IBM", module="acquire", code=1)
    assert line.startswith("No module named 'boto3'. Fix: ")
    line = run_refused(root, store, "--bars", "s3://b/x", module="validate", code=1)
    assert line.startswith(
        "'s3://b/x': expected an artifact that can be read, got No module named 'boto"
    )


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://u:s3cret-word@[bad", "http://[bad: no URL (Invalid IPv6 URL)"),
        ("sqlite:////proc/none/store.db", "No such file or directory: '/proc/none'"),
        pytest.param(
            "postgresql+psycopg://u:s3cret-word@127.0.0.1:1/db",
            "postgresql+psycopg://***@127.0.0.1:1/db: no database for 30 s (Connection refused).",
            marks=pytest.mark.long,  # the patience with a server
        ),
    ],
)
def test_unreachable_store_is_reported_in_one_line(root: Path, uri: str, words: str) -> None:
    env = {**environment(root, "x"), "MLFLOW_TRACKING_URI": uri}
    done = run_python(["-m", "steps.acquire", "--symbols", "IBM"], cwd=root, env=env)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and words in line and "s3cret" not in line
    assert "Background" not in line
    assert "Traceback" not in done.stderr and done.stderr.endswith(line + "\n")


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        ("ci_summary", 2, "run_name: expected"),
        ("ci_summary --run_name a'b", 2, """run_name="a'b": expected a name without quotes"""),
        ("ci_summary --run_name x --folder MLproject", 2, "Directory 'MLproject' is a file"),
        ("prune --keep 0", 2, "keep='0': expected a whole number of at least 1"),
        ("prune --kept 1", 2, "the unknown option --kept"),
    ],
)
def test_ci_summary_and_prune_report_invalid_options_in_one_line(
    root: Path, store: Path, words: str, code: int, fragment: str
) -> None:
    module, *options = words.split()
    assert fragment in run_refused(root, store, *options, module=module, code=code)


@pytest.mark.parametrize("words", ["ci_summary --run_name x", "prune", "acquire"])
def test_address_with_a_password_is_refused_by_every_command(root: Path, words: str) -> None:
    module, *options = words.split()
    env = {**environment(root, "x"), "MLFLOW_TRACKING_URI": "http://u:s3cret-word@127.0.0.1:9"}
    done = run_python(["-m", f"steps.{module}", *options], cwd=root, env=env)
    assert (done.returncode, done.stdout) == (1, "") and "s3cret" not in done.stderr
    assert done.stderr.startswith("error: http://127.0.0.1:9: a password in the address would")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "variables", "fragment"),
    [
        ("ci_summary --run_name x", {"NAME": "a"}, "MLFLOW_EXPERIMENT_NAME='a': expected"),
        ("prune", {"NAME": "a"}, "MLFLOW_EXPERIMENT_NAME='a': expected the name of an experiment"),
        ("prune", {"ID": "99"}, "MLFLOW_EXPERIMENT_ID='99': expected the id of an experiment"),
        ("prune", {"ID": "99", "NAME": "x"}, "Fix: set an existing id, or MLFLOW_EXPERIMENT_NAME"),
    ],
)
def test_reading_commands_create_no_experiment(
    root: Path, store: Path, words: str, variables: dict[str, str], fragment: str
) -> None:
    module, *options = words.split()
    env = environment(store, "x")
    del env["MLFLOW_EXPERIMENT_NAME"]
    env |= {f"MLFLOW_EXPERIMENT_{part}": value for part, value in variables.items()}
    done = run_python(["-m", f"steps.{module}", *options], cwd=root, env=env)
    lines = done.stdout.splitlines()[2:] + done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 1 and fragment in lines[0]
    with sqlite3.connect(store / "store.db") as connection:
        names = connection.execute("select name from experiments order by 1").fetchall()
    assert names == [("Default",), ("x",)]


@pytest.mark.parametrize(
    "words",
    [
        *("acquire", "prune", "ci_summary --run_name x"),
        *(pytest.param(word, marks=pytest.mark.long) for word in ("main", "daily", "score")),
        pytest.param("serve --port 0", marks=pytest.mark.long),
    ],
)
def test_deleted_experiment_is_reported_with_the_command_that_restores_it(
    root: Path, store: Path, tmp_path: Path, words: str
) -> None:
    shutil.copy(store / "store.db", tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
        sql = "update experiments set lifecycle_stage = 'deleted' where name = 'x'"
        connection.execute(sql)
        [(number,)] = connection.execute("select experiment_id from experiments where name = 'x'")
    module, *options = words.split()
    done = run_python(["-m", f"steps.{module}", *options], cwd=root, env=environment(tmp_path, "x"))
    [line] = [line for line in (done.stdout + done.stderr).splitlines() if "restore" in line]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert line.removeprefix("error: ").startswith("experiment 'x' is deleted. Fix: restore it by ")
    assert f"mlflow experiments restore -x {number}, " in line
