"""Tests of scratch folders and their removal after their process has exited."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.process.identity import Process, process_of
from pipeline.process.scratch import NAME, remove_abandoned, scratch_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def exited() -> Iterator[Process]:
    """Identity of a process that has exited, taken while it was alive."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = process_of(process.pid)
        process.kill()
    yield identity


def make(folder: Path, process: Process, name: str = "pipeline-train-{}-abcdefgh") -> Path:
    folder_made = folder / name.format(process.slug())
    folder_made.mkdir(mode=0o700)
    (folder_made / "model").mkdir()
    (folder_made / "model" / "half").write_text("x")
    return folder_made


def test_scratch_folder_is_removed_with_its_block(folder: Path) -> None:
    with pytest.raises(ValueError, match="why"), scratch_folder("train") as folder_made:
        assert NAME.fullmatch(folder_made.name) and folder_made.parent == folder
        assert folder_made.stat().st_mode & 0o777 == 0o700
        (folder_made / "x").write_text("x")
        raise ValueError("why")
    assert list(folder.iterdir()) == []


def test_remove_abandoned_removes_only_folders_of_exited_processes(
    folder: Path, exited: Process
) -> None:
    (foreign := folder / "of the user").mkdir()
    (foreign / "file").write_text("x")
    abandoned = make(folder, exited)
    (abandoned / "link").symlink_to(foreign)
    reused = process_of(os.getpid())._replace(start="1")  # another had its id before
    again = make(folder, reused, "pipeline-step-2.a-{}-abcdefgh")
    with scratch_folder("train") as own:
        remaining = {
            own,
            foreign,
            make(folder, process_of(os.getppid())),
            make(folder, exited._replace(host="elsewhere")),
            make(folder, exited._replace(namespace="1")),
            make(folder, exited, "train-{}-abcdefgh"),
            make(folder, exited, "pipeline-train-{}-abcdefgh-mine"),
            open_to_all := make(folder, exited, "pipeline-open-{}-abcdefgh"),
            link := folder / f"pipeline-link-{exited.slug()}-abcdefgh",
            file := folder / f"pipeline-file-{exited.slug()}-abcdefgh",
        }
        open_to_all.chmod(0o755)
        link.symlink_to(foreign)
        file.write_text("x")
        remove_abandoned()
        assert set(folder.iterdir()) == remaining and not abandoned.exists() and not again.exists()
    assert (foreign / "file").read_text() == "x"


def test_remove_abandoned_keeps_folder_of_another_user(folder: Path, exited: Process) -> None:
    if os.getuid() != 0:
        pytest.skip("only root gives a folder away")
    theirs = make(folder, exited)
    os.chown(theirs, 12345, 12345)
    remove_abandoned()
    assert theirs.exists()
