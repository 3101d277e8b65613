"""The ledger: rows are added once and never changed; a killed writer leaves no part."""

import datetime as dt
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.storage.ledger import AppendCounts, Ledger
from tests.support.python_processes import start_python

MONDAY = dt.date(2024, 1, 1)
# A writer of its own: KEYS keys in each of DAYS partitions, values made of both.
WRITER = """
import sys, datetime as dt
from pathlib import Path
import pyarrow as pa
from pipeline.storage.ledger import Ledger
to, keys, days = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
rows = [(dt.date(2024, 1, 1) + dt.timedelta(day), key, hash((day, int(key, 36))) % 997 / 7)
        for day in range(days) for key in keys]
table = pa.table(dict(zip(("day", "key", "value"), map(list, zip(*rows)))))
table = table.set_column(0, "day", table["day"].cast(pa.date32()))
print("ready", flush=True)
print(Ledger(to, Path("/"), "day").append(table, "v1", "key", ("value",)), flush=True)
"""


def table(rows: list[tuple[int, str, float]]) -> pa.Table:
    """Rows of (day, key, value)."""
    days = pa.array([MONDAY + dt.timedelta(day) for day, _, _ in rows], pa.date32())
    keys = pa.array([key for _, key, _ in rows], pa.string())
    return pa.table({"day": days, "key": keys, "value": [float(value) for *_, value in rows]})


def content(ledger: Ledger) -> list[tuple[int, str, float]]:
    rows = ledger.read().select(["day", "key", "value"]).to_pylist()
    return [((row["day"] - MONDAY).days, row["key"], row["value"]) for row in rows]


def test_rows_are_readable_by_any_reader_of_datasets(tmp_path: Path) -> None:
    ledger = Ledger("book", tmp_path, "day")
    given_rows = table([(1, "b", 2), (0, "a", 1), (1, "a", 3)])
    coded = given_rows.set_column(1, "key", given_rows["key"].dictionary_encode())
    done = ledger.append(coded, "some model/7", "key")
    assert done == AppendCounts(added=3)
    assert content(ledger) == [(0, "a", 1), (1, "a", 3), (1, "b", 2)]
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.parquet"))
    assert files == [f"book/day=2024-01-0{day}/some%20model%2F7.parquet" for day in (1, 2)]
    assert ledger.read().schema.field("day").type == pa.date32()
    assert ledger.read().schema.field("key").type == pa.string()
    whole = pq.read_table(tmp_path / "book").to_pandas()  # as somebody without our code would
    assert whole["key"].tolist() == ["a", "a", "b"]


def test_append_never_changes_a_row(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path.as_uri(), Path("/"), "day")
    ledger.append(table([(0, "a", 1), (0, "c", 1)]), "v1", "key")
    [path] = tmp_path.rglob("*.parquet")
    before = path.read_bytes(), path.stat().st_mtime_ns
    again = ledger.append(table([(0, "a", 1), (0, "c", 9)]), "v1", "key", ("value",))
    assert again == AppendCounts(known=2, differing=1)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    more = ledger.append(table([(0, "b", 5), (0, "a", 7)]), "v1", "key", ("value",))
    assert more == AppendCounts(added=1, known=1, differing=1)
    assert content(ledger) == [(0, "a", 1), (0, "b", 5), (0, "c", 1)]
    # Another name is another row.
    assert ledger.append(table([(0, "a", 7)]), "v2", "key").added == 1
    assert sorted(content(ledger)) == [(0, "a", 1), (0, "a", 7), (0, "b", 5), (0, "c", 1)]


rows = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("abcd"), st.integers(0, 2)),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["v1", "v2"]), rows), min_size=1, max_size=5))
def test_appends_agree_with_a_plain_dict(calls: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(folder, Path("/"), "day")
        record: dict[tuple[int, str, str], float] = {}
        for name, given_rows in calls:
            places = [(day, name, key) for day, key, _ in given_rows]
            present = [place for place in places if place in record]
            values = dict(zip(places, (value for *_, value in given_rows), strict=True))
            differing = sum(record[place] != values[place] for place in present)
            done = ledger.append(table(given_rows), name, "key", ("value",))
            assert done == AppendCounts(len(places) - len(present), len(present), differing)
            record = values | record
        assert content(ledger) == [
            (day, key, value) for (day, _, key), value in sorted(record.items())
        ]


def test_missing_ledger_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("none", "empty"):
        with pytest.raises(InputError, match=f"^ledger='{place}': expected a ledger"):
            Ledger(place, tmp_path, "day").read()
    with pytest.raises(InputError, match="'nosuch://x'"):
        Ledger("nosuch://x", tmp_path, "day")


def test_append_works_in_an_object_store() -> None:
    ledger = Ledger("mock:///book", Path("/"), "day")  # Arrow's own store in memory
    assert not isinstance(ledger._files, pafs.LocalFileSystem)
    ledger.append(table([(0, "a", 1)]), "v1", "key")
    done = ledger.append(table([(0, "a", 2), (0, "b", 2), (1, "a", 3)]), "v1", "key", ("value",))
    assert done == AppendCounts(added=2, known=1, differing=1)
    assert content(ledger) == [(0, "a", 1), (0, "b", 2), (1, "a", 3)]


def test_append_works_in_a_store_of_fsspec() -> None:
    pytest.importorskip("fsspec")
    ledger = Ledger("memory://book", Path("/"), "day")
    ledger.append(table([(0, "a", 1)]), "v1", "key")
    done = ledger.append(table([(0, "a", 2), (0, "b", 2), (1, "a", 3)]), "v1", "key", ("value",))
    assert done == AppendCounts(added=2, known=1, differing=1)
    assert content(ledger) == [(0, "a", 1), (0, "b", 2), (1, "a", 3)]


def writer(root: Path, to: Path, keys: str, days: int) -> "subprocess.Popen[str]":
    return start_python(["-c", WRITER, str(to), keys, str(days)], cwd=root, env=os.environ)


@pytest.mark.run
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_killed_writer_leaves_no_part_and_the_next_completes_it(
    root: Path, tmp_path: Path, kills: int
) -> None:
    days, keys = 150, ",".join("abcdefgh")
    process = writer(root, tmp_path / "whole", keys, days)
    process.communicate(timeout=600)
    assert process.returncode == 0
    expected = content(Ledger(str(tmp_path / "whole"), root, "day"))
    assert len(expected) == days * 8

    rng = random.Random(kills)
    book = Ledger(str(tmp_path / "book"), root, "day")
    cut_short = 0
    for _ in range(kills):
        process = writer(root, tmp_path / "book", keys, days)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        # By how far it has come, not by the clock: another moment, however fast the machine is.
        partitions = len(list((tmp_path / "book").glob("day=*")))
        target = partitions + rng.randint(0, (days - partitions) // 4)
        while len(list((tmp_path / "book").glob("day=*"))) < target and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        try:
            rows = content(book)
        except InputError:  # killed before its first row
            continue
        by_day: dict[int, int] = {}
        for day, _, _ in rows:
            by_day[day] = by_day.get(day, 0) + 1
        assert set(by_day.values()) == {8} and set(rows) <= set(expected)
        cut_short += len(rows) < len(expected)
    assert cut_short
    process = writer(root, tmp_path / "book", keys, days)
    output, _ = process.communicate(timeout=600)
    assert "differing=0" in output
    assert content(book) == expected
    partial = [path for path in (tmp_path / "book").rglob(".*") if path.name != ".lock"]
    assert len(partial) <= kills


@pytest.mark.run
def test_two_writers_of_the_same_files_lose_no_row(root: Path, tmp_path: Path) -> None:
    writers = [writer(root, tmp_path / "book", keys, 40) for keys in ("a,b,c", "c,d,e")]
    outputs = [process.communicate(timeout=600)[0] for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    assert sorted("known=40" in text for text in outputs) == [False, True]
    rows = content(Ledger(str(tmp_path / "book"), root, "day"))
    assert [(day, key) for day, key, _ in rows] == [(d, k) for d in range(40) for k in "abcde"]


@pytest.mark.parametrize(
    "name", ["_mine", ".hidden", "..", "../../out", "a/b", "/abs", "%2e", "é*?["]
)
def test_rows_under_any_file_name_are_found(name: str, tmp_path: Path) -> None:
    ledger = Ledger("book", tmp_path, "day")
    ledger.append(table([(0, "a", 1)]), name, "key")
    assert content(ledger) == [(0, "a", 1)]  # readers pass over names with _ or . before them
    [path] = tmp_path.rglob("*.parquet")
    assert path.parent == tmp_path / "book" / "day=2024-01-01"
