"""Tests of the log tail, of errors in one line, and of resource metrics."""

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import one_line
from pipeline.log.redact import redact
from pipeline.run.log_tail import LINES, last_lines, logged_error, tee_output
from pipeline.run.resources import ResourceUsage
from tests.support.paths import ROOT


def test_tee_output_writes_file_and_stream(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    path = tmp_path / "log"
    with tee_output(path) as append:
        sys.stdout.write("one\n")
        sys.stderr.writelines(["two \N{SNOWMAN}\n", "three\n"])
        append("four\n")
        assert sys.stdout.isatty() and not path.read_text().endswith("five\n")
    sys.stdout.write("five\n")
    assert path.read_text() == "one\ntwo \N{SNOWMAN}\nthree\nfour\n"
    assert terminal.getvalue() == "one\nfive\n"
    assert capfd.readouterr().err.endswith("two \N{SNOWMAN}\nthree\n")


def test_last_lines_are_limited_and_show_the_last_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {i}\n" for i in range(5000)) + "\n 1%\r 50%\r100%\r\nend")
    lines = last_lines(path).splitlines()
    assert len(lines) == LINES == 50
    assert lines[-3:] == ["line 4999", "100%", "end"] and lines[0] == "line 4952"
    path.write_bytes(b"x" * 1_000_000 + b"\xff\n")
    assert len(last_lines(path)) < 70_000


def test_logged_error_is_the_one_that_ends_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert logged_error(path) is None
    for text, error in (
        ("error: early\nmore\n", None),
        ("a\nerror: at https://u:p@h/\n", "at https://***@h/"),
        ("", None),
    ):
        path.write_text(text)
        assert logged_error(path) == error


def test_one_line_of_disk_and_database_errors_is_short() -> None:
    full = "(sqlite3.OperationalError) database or disk is full [SQL: INSERT x] [parameters: ('1')]"
    assert one_line(RuntimeError(full)) == one_line(OSError(28, "?")) != ""
    locked = RuntimeError("(sqlite3.OperationalError) database\n is locked [SQL: UPDATE x]")
    assert one_line(locked) == "(sqlite3.OperationalError) database is locked"
    assert one_line(KeyError()) == "KeyError"


def test_one_line_of_a_read_only_database_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////srv/a/store.db")
    message = "(sqlite3.OperationalError) attempt to write a readonly database [SQL: UPDATE x]"
    early = (
        "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush "
        "block if this flush is occurring prematurely) "
    )
    line = one_line(RuntimeError(message))
    assert line.startswith("sqlite:////srv/a/store.db: is read-only. Fix: ")
    assert one_line(RuntimeError(early + message)) == line
    other = one_line(RuntimeError(early + "(psycopg.errors.Undefined) no such column [SQL: x]"))
    assert other == "(psycopg.errors.Undefined) no such column"
    plain = "attempt to write a readonly database"
    assert one_line(OSError(plain)) == plain, "some other file"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert one_line(RuntimeError(message)) == f"(sqlite3.OperationalError) {plain}", "a registry"


def test_log_tail_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open sesame")
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_0123")
    monkeypatch.setenv("SOME_KEY", "yes")
    monkeypatch.setenv("USE_TOKEN", "True")
    text = (
        "at https://me:p@ss@example.org/a?b=1 and postgresql://u:w@h:1/d, not user@example.org: "
        "'open sesame' 'ghs_0123' yes True"
    )
    assert redact(text) == (
        "at https://***@example.org/a?b=1 and postgresql://***@h:1/d, not user@example.org: "
        "'***' '***' yes True"
    )


MEMORY = """
import os, subprocess, sys
from pipeline.run.resources import ResourceUsage
block = bytearray(300 << 20)
block[::4096] = b"x" * len(block[::4096])
if len(sys.argv) > 1:  # a program started by a large process
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
del block
if os.fork() == 0:  # a fork of a process that was large
    usage = ResourceUsage()
    block = bytearray(50 << 20)
    block[::4096] = b"x" * len(block[::4096])
    metrics = usage.metrics([])
    print(metrics["system/peak_rss_mib"], metrics["system/peak_added_mib"], flush=True)
    os._exit(0)
os.wait()
"""
SMALL = """
from pipeline.run.resources import ResourceUsage
print(ResourceUsage().metrics([])["system/peak_rss_mib"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_resource_usage_memory_is_of_this_process_alone() -> None:
    def measured(*argv: str) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, *argv], cwd=ROOT, capture_output=True, text=True
        )
        return [float(word) for word in done.stdout.split()]

    peak, added = measured()
    assert 50 <= added < 60 and added < peak < 150
    assert measured(SMALL)[0] < 100


def test_resource_usage_counts_bytes_and_rows(tmp_path: Path) -> None:
    usage = ResourceUsage()
    assert usage.metrics([])["rows"] is None
    (tmp_path / "a.json").write_bytes(b"12345")
    table = pa.table({"x": [1, 2, 3]})
    for name in ("b.parquet", "c.parquet"):
        pq.write_table(table, tmp_path / name)
    files = [*tmp_path.iterdir(), tmp_path / "gone.json"]
    metrics = usage.metrics(files)
    assert metrics["rows"] == 6
    assert metrics["system/artifact_bytes"] == sum(
        path.stat().st_size for path in tmp_path.iterdir()
    )
    assert 0 <= (metrics["system/seconds"] or -1) < 60


def test_resource_usage_counts_cores_of_programs_that_have_ended() -> None:
    usage = ResourceUsage()
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    metrics = usage.metrics([])
    seconds, cores = metrics["system/seconds"], metrics["system/cores_used"]
    assert seconds and cores and 0.05 < seconds * cores < 20
