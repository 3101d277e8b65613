"""Parquet tables, atomic writes, and the download of inputs."""

import contextlib
import gc
import gzip
import json
import resource
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import mlflow
import pyarrow as pa
import pytest
from mlflow.utils.file_utils import local_file_uri_to_path

from pipeline.errors import InputError
from pipeline.storage.parquet import (
    batch_groups,
    read_batch,
    read_footer,
    read_groups,
    read_metadata,
    read_table,
    write_groups,
)
from pipeline.tracking.artifacts import atomic_write, fetch, local_folder, model_digest


def test_atomic_write_leaves_the_whole_file_or_none(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(RuntimeError), atomic_write(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_write(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_write_groups_writes_a_group_a_table_and_late_metadata(tmp_path: Path) -> None:
    content: dict[bytes, bytes] = {}

    def parts():
        for number in range(3):
            content[b"last"] = str(number).encode()
            yield pa.table({"x": list(range(number + 1))})

    path = tmp_path / "t.parquet"
    assert write_groups(path, parts(), lambda: content) == 6
    assert [group.num_rows for group in read_groups(path)] == [1, 2, 3]
    assert read_metadata(path)[b"last"] == b"2"
    assert read_table(path)["x"].to_pylist() == [0, 0, 1, 0, 1, 2]


def test_write_groups_gathers_small_tables_into_row_groups(tmp_path: Path) -> None:
    names = ["a", "b", "a", "c"]
    tables = [pa.table({"s": pa.array([name] * 3).dictionary_encode()}) for name in names]
    path = tmp_path / "t.parquet"
    assert write_groups(path, tables, least_rows=5) == 12
    assert [group["s"].to_pylist() for group in read_groups(path)] == [
        ["a"] * 3 + ["b"] * 3,
        ["a"] * 3 + ["c"] * 3,
    ]
    footer = read_footer(path)
    assert batch_groups(footer, 6) == [[0], [1]] and batch_groups(footer, 7) == [[0, 1]]
    assert read_batch(path, [1, 0], footer=footer).num_rows == 12


def test_write_groups_refuses_no_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to write"):
        write_groups(tmp_path / "t.parquet", [])


def test_fetch_of_a_missing_file_shows_the_absolute_path(tmp_path: Path) -> None:
    for uri in ("none.parquet", f"file://{tmp_path}/none.parquet"):
        with pytest.raises(InputError) as caught:
            fetch(None, uri, tmp_path, tmp_path)
        assert str(tmp_path / "none.parquet") in str(caught.value)
    (tmp_path / "there").write_text("x")
    assert fetch(None, "there", tmp_path, tmp_path) == tmp_path / "there"
    assert fetch(None, str(tmp_path / "there"), tmp_path, tmp_path) == tmp_path / "there"


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("/a/b", "/a/b"),
        ("file:///a/b%20c", "/a/b c"),
        ("/a/b%20c", "/a/b c"),  # as MLflow reads a path
        ("/a/b#c?d", "/a/b#c?d"),
        ("s3://x/y", None),
        ("mlflow-artifacts:/0/x", None),
    ],
)
def test_local_folder_is_none_for_remote_stores(uri: str, folder: str | None) -> None:
    assert local_folder(uri) == (Path(folder) if folder else None)
    assert folder is None or local_file_uri_to_path(uri) == folder


def test_fetch_of_a_path_with_a_percent_sign_reads_that_file(tmp_path: Path) -> None:
    (tmp_path / "a%20b").write_text("x")
    assert fetch(None, "a%20b", tmp_path, tmp_path) == tmp_path / "a%20b"


def test_model_digest_covers_code_estimator_and_signature_only(tmp_path: Path) -> None:
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return model_digest(tmp_path)

    write("MLmodel", "{}")
    write("code/stockpred/x.py", "x = 1")
    write("artifacts/estimator.skops", "bytes")
    first = write("MLmodel", json.dumps({"signature": {"inputs": "a"}, "run_id": "1"}))
    same = {
        write("MLmodel", json.dumps({"signature": {"inputs": "a"}, "run_id": "2"})),
        write("requirements.txt", "x==1"),
        write("code/stockpred/__pycache__/x.pyc", "noise"),
    }
    assert same == {first}
    other = {
        write("MLmodel", json.dumps({"signature": {"inputs": "b"}, "run_id": "2"})),
        write("code/stockpred/x.py", "x = 2"),
        write("artifacts/estimator.skops", "other"),
    }
    assert len(other | same) == 4


class OneRun:
    """A tracking client that knows one run, whose artifacts lie in a folder."""

    def __init__(self, artifacts: Path) -> None:
        self._run = SimpleNamespace(
            info=SimpleNamespace(artifact_uri=artifacts.as_uri()), data=SimpleNamespace(tags={})
        )

    def get_run(self, run_id: str) -> SimpleNamespace:
        return self._run


def test_fetch_refuses_names_that_lead_out_of_the_runs_folder(tmp_path: Path) -> None:
    artifacts = tmp_path / "run" / "artifacts"
    artifacts.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (artifacts / "a.json").write_text("{}")
    (artifacts / "link").symlink_to(tmp_path / "secret")
    (artifacts / "folder").symlink_to(tmp_path)
    client = OneRun(artifacts)
    assert fetch(client, "runs:/0/a.json", tmp_path, tmp_path) == artifacts / "a.json"
    for name in (
        "../../secret",
        "x/../../../secret",
        str(tmp_path / "secret"),
        "..",
        "",
        "link",
        "folder/secret",
        "%2e%2e/%2e%2e/secret",
        "..%2F..%2Fsecret",
        "..\\..\\secret",
        # By these its bytes would be read, and its hash be looked up in vain.
        "./a.json",
        "a.json/",
        "a.json?x",
        "a.json#x",
        "%61.json",
        ".//a.json",
    ):
        with pytest.raises(InputError) as caught:
            fetch(client, f"runs:/0/{name}", tmp_path, tmp_path)
        assert "\n" not in str(caught.value)


class Hostile(BaseHTTPRequestHandler):
    """A server of artifacts that lists names as it likes, and sends without end."""

    names: ClassVar[list[str]] = []
    packed = False
    listed = 0

    def do_GET(self) -> None:
        if "path=" in self.path or self.path.endswith("/artifacts"):
            files = [{"path": name, "is_dir": False, "file_size": 4} for name in self.names]
            Hostile.listed += 1
            self._begin("application/json")
            self.wfile.write(json.dumps({"files": files}).encode())
            return
        if "/artifacts/" not in self.path:
            self.send_error(404)
            return
        self._begin("application/octet-stream")
        part = gzip.compress(bytes(1 << 22)) if self.packed else bytes(1 << 16)
        with contextlib.suppress(OSError):
            for _ in range(1 << 14):
                self.wfile.write(part)

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if self.packed and kind != "application/json":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def hostile() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(f"http://{address}")
        yield address
        mlflow.set_tracking_uri(before)
        server.shutdown()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# A download that is broken off leaves its connection to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("packed", [False, True])
def test_download_without_end_is_stopped(
    packed: bool, hostile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.artifacts.MAX_BYTES", 1 << 20)
    monkeypatch.setattr(Hostile, "packed", packed)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_ENABLE_MULTIPART_DOWNLOAD"):
        monkeypatch.setenv(name, "0" if "MAX" in name else "false")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(InputError, match="can be read"):  # no store of MLflow's
        fetch(None, f"http://{hostile}/bars.parquet", tmp_path, tmp_path)
    with pytest.raises(InputError, match="at most 1,048,576 bytes") as caught:
        fetch(None, f"mlflow-artifacts://{hostile}/0/bars.parquet", tmp_path, tmp_path)
    assert "split it" in str(caught.value) and "\n" not in str(caught.value)
    assert all(path.stat().st_size <= 1 << 20 for path in tmp_path.rglob("*") if path.is_file())
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before


@pytest.mark.parametrize("name", ["../../evil", "/evil", "%2e%2e/%2e%2e/evil", "a/../../../evil"])
def test_download_writes_nothing_outside_its_folder(
    name: str, hostile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.artifacts.MAX_BYTES", 1 << 16)
    monkeypatch.setattr(Hostile, "names", [name])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = Hostile.listed
    into = tmp_path / "deep" / "er" / "into"
    into.mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        fetch(None, f"mlflow-artifacts://{hostile}/0/folder", tmp_path, into)
    assert Hostile.listed > before
    assert "\n" not in str(caught.value)
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(into)]
    assert outside == [] and not Path("/evil").exists()
