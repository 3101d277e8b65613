"""A writer of the ledger is killed, or told to end, at every line: no row changes or is lost."""

import signal
from pathlib import Path

import pytest

from tests.support.runs.kill_at_lines import run_script
from tests.support.runs.toy_project import ENV, long

pytestmark = pytest.mark.run

AT_EVERY_LINE = """
import datetime as dt
import json, shutil, signal, sys
from pathlib import Path
import pyarrow as pa
from pipeline.storage import ledger
from pipeline.tracking import artifacts
from tests.support.runs.kill_at_lines import kill_at_every_line

FOLDER, (signum, stride) = Path(sys.argv[1]), map(int, sys.argv[2:])
pa.set_cpu_count(1)


def rows(days, keys, value):
    each = [(dt.date(2024, 1, day), key, value) for day in days for key in keys]
    days, keys, values = map(list, zip(*each))
    return pa.table({"day": pa.array(days, pa.date32()), "key": keys, "value": values})


def book():
    return ledger.Ledger(str(FOLDER / "book"), Path("/"), "day")


def content():
    found = book().read().to_pylist()
    return sorted([each["day"].day, each["key"], each["value"]] for each in found)


def before():
    shutil.rmtree(FOLDER, ignore_errors=True)
    book().append(rows([1, 2], "ab", 1.0), "v1", "key")


def work():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A file that is there, with rows known and new; one all known; one that is not there.
    book().append(rows([1, 3], "abc", 2.0), "v1", "key", ["value"])


for each in kill_at_every_line(work, (artifacts, ledger), signum, stride, 0, before):
    ended = content()
    done = book().append(rows([1, 3], "abc", 2.0), "v1", "key", ["value"])
    files = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file())
    print(json.dumps([each, ended, content(), [done.added, done.known, done.differing], files]))
"""
FIRST = [[1, "a", 1.0], [1, "b", 1.0]]
OTHER = [[2, "a", 1.0], [2, "b", 1.0]]
MORE = [[1, "c", 2.0]]
NEW = [[3, key, 2.0] for key in "abc"]


@pytest.mark.parametrize(
    ("signum", "stride"),
    [(signal.SIGKILL, 17), *(long(signum, 1) for signum in (signal.SIGKILL, signal.SIGTERM))],
)
def test_ledger_writer_ended_at_any_line_adds_whole_files_or_nothing(
    tmp_path: Path, signum: int, stride: int
) -> None:
    tries = run_script(AT_EVERY_LINE, tmp_path / "here", int(signum), stride, env=ENV)
    assert len(tries) >= 60 // stride, "no lines were traced"
    states = [FIRST + OTHER, FIRST + MORE + OTHER, FIRST + MORE + OTHER + NEW]
    reached = []
    for (_, where, code), ended, after, (added, known, differing), files in tries:
        assert code == (0 if not where else -signum if signum == signal.SIGKILL else 143), where
        reached.append(states.index(ended))
        # What the next one finds is known to it; two rows had another value from the first.
        already = len(ended) - len(OTHER)
        assert (added, known, differing) == (6 - already, already, 2), where
        assert after == states[-1], where
        files_left = [f"book/day=2024-01-0{day}/v1.parquet" for day in (1, 2, 3)]
        assert files == ["book/.lock", *files_left], where
    assert reached == sorted(reached) and set(reached) == {0, 1, 2}
