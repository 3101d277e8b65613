"""Parameters are data: whatever a value holds, no shell reads it and no other option gets it."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from mlflow.projects._project_spec import load_project

from stockpred.errors import StockpredError
from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs.refused_commands import started_steps
from tests.support.runs.stores import environment, make_store
from warm_backend.backend import python_argv

pytestmark = pytest.mark.run
ENTRIES = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
# Each would leave a file `pwned` behind, were it read by a shell; or break the command otherwise.
HOSTILE = {
    "semicolon": "a; touch pwned;",
    "substitution": "$(touch pwned)",
    "backticks": "`touch pwned`",
    "single quote": "'; touch pwned; echo '",
    "double quote": '"; touch pwned; echo "',
    "both quotes": """'"'"; touch pwned; '"'"'""",
    "newlines": "a\ntouch pwned\n",
    "pipe and background": "| touch pwned & touch pwned && touch pwned",
    "redirect": "> pwned < /etc/passwd 2>&1",
    "expansion": "$HOME ${PATH} ~ * ? [a-z] {a,b} !!",
    "dash": "--symbols",
    "equals": "--source=x -P y",
    "braces": "{} {0} {seed} {{source}} {source!r}",
    "percent": "%s %(x)s %n \\n \\x00 \\",
    "unicode": "Ünïcödé \u202e\u200b\ufeff 🦆 \uff04(touch pwned) \uff1btouch pwned",
    "spaces": "  leading and trailing \t ",
    "empty": "",
    "long": "x; touch pwned;" * 100,
    "carriage return": "a\r\ntouch pwned\r",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH whose first `python` writes down what it was called with, and does nothing else."""
    folder = tmp_path_factory.mktemp("bin")
    recorder = folder / "python"
    recorder.write_text('#!/bin/sh\nprintf "%s\\0" "$#" "$@" >> called\n')
    recorder.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("entry", ENTRIES)
def test_parameter_value_reaches_the_command_unchanged(
    entry: str, root: Path, tmp_path: Path, path: str
) -> None:
    point = load_project(str(root)).get_entry_point(entry)
    commands, calls = [], []
    for kind, text in HOSTILE.items():
        # Each parameter gets a value of its own, so that none can stand in for another.
        values = {name: text + name * (kind != "empty") for name in point.parameters}
        command = point.compute_command(values, str(tmp_path))
        words = [word for name, value in values.items() for word in (f"--{name}", value)]
        # The warm processes read the same command.
        assert python_argv(command) == ["-m", f"steps.{entry}", *words]
        commands.append(command)
        calls += [str(len(words) + 2), "-m", f"steps.{entry}", *words]
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(commands)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    called = (tmp_path / "called").read_bytes().decode().split("\0")
    assert called == [*calls, ""]  # each once, and nothing beside
    assert sorted(file.name for file in tmp_path.iterdir()) == ["called"]


@pytest.mark.parametrize("entry", ENTRIES)
def test_parameter_value_is_taken_unchanged_or_refused_by_name(entry: str) -> None:
    command = __import__(f"steps.{entry}", fromlist=["main"]).main.command
    fine = {p.name: p.default if not p.required else "x" for p in command.params}
    for name, text in itertools.product(fine, HOSTILE.values()):
        words = [w for n, v in {**fine, name: text}.items() for w in (f"--{n}", v)]
        try:
            context = command.make_context(entry, words)
        except click.UsageError as error:
            message = error.format_message()
            assert message.startswith(f"{name}={text!r}"[:80]) and "\n" not in message
        except StockpredError as error:
            assert str(error).startswith(f"{name}=")
        else:
            assert context.meta["texts"] == {**fine, name: text}


@pytest.mark.parametrize(
    "name", ["source", pytest.param("registered_model", marks=pytest.mark.long)]
)
def test_parameter_value_that_is_hostile_is_refused_in_one_line(
    name: str, root: Path, tmp_path: Path
) -> None:
    hostile = "'$(touch pwned)`touch pwned`\"; touch pwned; \n--symbols x"
    make_store(tmp_path, "x")
    env = environment(tmp_path, "x")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    words = ("run", str(root), "-e", "main", "--env-manager", "local", "-P", f"{name}={hostile}")
    done = run_python(["-m", "mlflow", *words], cwd=tmp_path, env=env)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {name}=")
    assert not list(tmp_path.rglob("pwned")) and not (root / "pwned").exists()
    assert "acquire" not in started_steps(tmp_path)
