"""Tables, files written whole, and inputs that are not there."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.artifacts import fetch, local_folder, model_digest, written_whole
from pipeline.cache import Key, step_key
from pipeline.code import Code
from pipeline.errors import InputError
from pipeline.step import Output, Step, check_table
from pipeline.tables import groups, metadata, read, write_groups


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(RuntimeError), written_whole(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with written_whole(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_is_one_group_a_part_and_knows_what_was_found_on_the_way(tmp_path: Path) -> None:
    found: dict[bytes, bytes] = {}

    def parts():
        for number in range(3):
            found[b"last"] = str(number).encode()
            yield pa.table({"x": list(range(number + 1))})

    path = tmp_path / "t.parquet"
    assert write_groups(path, parts(), lambda: found) == 6
    assert [group.num_rows for group in groups(path)] == [1, 2, 3]
    assert metadata(path)[b"last"] == b"2"
    assert read(path)["x"].to_pylist() == [0, 0, 1, 0, 1, 2]


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to write"):
        write_groups(tmp_path / "t.parquet", [])


def test_a_missing_input_shows_the_absolute_path(tmp_path: Path) -> None:
    for uri in ("none.parquet", f"file://{tmp_path}/none.parquet"):
        with pytest.raises(InputError) as caught:
            fetch(None, uri, tmp_path, tmp_path)
        assert str(tmp_path / "none.parquet") in str(caught.value)
    (tmp_path / "there").write_text("x")
    assert fetch(None, "there", tmp_path, tmp_path) == tmp_path / "there"
    assert fetch(None, str(tmp_path / "there"), tmp_path, tmp_path) == tmp_path / "there"


@pytest.mark.parametrize(
    ("uri", "folder"),
    [("/a/b", "/a/b"), ("file:///a/b%20c", "/a/b c"), ("s3://x/y", None),
     ("mlflow-artifacts:/0/x", None)],
)  # fmt: skip
def test_local_stores_are_told_from_remote_ones(uri: str, folder: str | None) -> None:
    assert local_folder(uri) == (Path(folder) if folder else None)


def test_a_models_digest_counts_code_estimator_and_signature_only(tmp_path: Path) -> None:
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


def test_keys_are_typed_and_say_what_they_are_made_of(root: Path) -> None:
    code = Code(root)
    step = Step("validate", ("max_missing",), {"bars": Output("acquire", "bars.parquet")})

    def key(value: object, sha: str = "a") -> Key:
        params = {"max_missing": value, "folds": 5}
        return step_key(step, params, {"bars": sha}, code, "steps")

    assert key(0.05).digest == key(0.05).digest
    digests = {key(v).digest for v in (0.05, 0.06, "0.05", None)} | {key(0.05, "b").digest}
    assert len(digests) == 5
    assert set(key(0.05).parts) == {"entry_point", "params", "inputs", "code"}
    assert key(0.05).parts["params"] == {"max_missing": 0.05}


def test_a_table_of_steps_with_a_loose_end_is_refused() -> None:
    loose = Step("b", (), {"x": Output("a", "x.txt")})
    with pytest.raises(ValueError, match="step b: input x comes from 'a'"):
        check_table([loose])
    with pytest.raises(ValueError, match="step a stands twice"):
        check_table([Step("a", ()), Step("a", ())])
