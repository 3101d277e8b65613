"""Verification of a stored model: only code as recorded is accepted, nothing is unpickled."""

import pickle
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.registry.download import fetch_files, refusal_reason
from pipeline.tracking.artifacts import model_digest
from tests.support.data.planted_files import CONF, MaliciousPickle, write_model_folder


def test_model_as_recorded_is_accepted(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, CONF)
    assert refusal_reason(folder, None) is None
    assert refusal_reason(folder, model_digest(folder)) is None


ODD = [
    ({"loader_module": "mlflow.sklearn"}, {}, "loader mlflow.sklearn"),
    ({"loader_module": "os"}, {}, "loader os"),
    ({"loader_module": None}, {}, "loader None"),
    ({"python_model": "python_model.pkl"}, {}, "a pickled part"),
    ({"data": "model.pkl"}, {}, "a pickled part"),
    ({"model_code_path": None}, {}, "no code of its own"),
    ({"model_code_path": "python_model.pkl"}, {}, "no code of its own"),
    ({"model_code_path": "elsewhere.py"}, {}, "no code of its own"),
    ({"code": "../../elsewhere"}, {}, "code outside its folder"),
    ({"code": "/etc"}, {}, "code outside its folder"),
    ({"artifacts": {"recipe": {"path": "/etc/passwd"}}}, {}, "artifacts outside its folder"),
    ({"artifacts": {"recipe": {"path": "artifacts/../../x"}}}, {}, "artifacts outside its folder"),
    ({"artifacts": {"recipe": "artifacts/recipe.json"}}, {}, "MLmodel file that cannot be read"),
    ({}, {"sklearn": {"pickled_model": "model.pkl"}}, "flavour sklearn"),
]


@pytest.mark.parametrize(("changed", "flavors", "words"), ODD)
def test_model_that_loads_anything_else_is_refused(
    changed: dict[str, Any], flavors: dict[str, Any], words: str, tmp_path: Path
) -> None:
    why = refusal_reason(write_model_folder(tmp_path, {**CONF, **changed}, **flavors), None)
    assert why is not None and words in why and "\n" not in why


@pytest.mark.parametrize("text", ["", "[]", "flavors: 1", "a: [", "flavors: {python_function: 1}"])
def test_damaged_mlmodel_is_refused(text: str, tmp_path: Path) -> None:
    write_model_folder(tmp_path, CONF)
    (tmp_path / "MLmodel").write_text(text)
    why = refusal_reason(tmp_path, None)
    assert why is not None and "\n" not in why
    (tmp_path / "MLmodel").write_bytes(b"\xff\xfe")
    assert "MLmodel file that cannot be read" in str(refusal_reason(tmp_path, None))


def test_mlmodel_yaml_constructs_no_object(tmp_path: Path) -> None:
    write_model_folder(tmp_path, CONF)
    tag = f"flavors: !!python/object/apply:os.system ['touch {tmp_path}/pwned']\n"
    (tmp_path / "MLmodel").write_text(tag)
    assert "MLmodel file that cannot be read" in str(refusal_reason(tmp_path, None))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "name",
    [
        "pyfunc.py",
        "code/stockpred/a.py",
        "artifacts/recipe.json",
        "code/stockpred/b.so",
        "code/sitecustomize.py",
        "artifacts/more.json",
    ],
)
def test_files_that_differ_from_the_record_are_refused(name: str, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, CONF)
    recorded = model_digest(folder)
    (folder / name).write_text("changed")
    assert "other files (sha256" in str(refusal_reason(folder, recorded))


def client_of(recorded: str | None) -> SimpleNamespace:
    tags = {"pipeline.output.model": recorded} if recorded else {}
    run = SimpleNamespace(data=SimpleNamespace(tags=tags))
    return SimpleNamespace(get_run=lambda run_id: run)


def test_local_model_is_copied_without_bytecode_and_links(tmp_path: Path) -> None:
    store, into = tmp_path / "store", tmp_path / "into"
    folder = write_model_folder(store, CONF)
    cached = folder / "code" / "stockpred" / "__pycache__" / "a.cpython-311.pyc"
    cached.parent.mkdir()
    cached.write_bytes(b"bytecode of another source")
    recorded = model_digest(folder)
    copy = fetch_files(client_of(recorded), "models:/m/1", str(store), "run", into)
    assert copy.is_relative_to(into) and model_digest(copy) == recorded
    assert not list(copy.rglob("*.pyc")) and cached.exists()
    (folder / "code" / "more").symlink_to("/etc")
    with pytest.raises(InputError, match="got the link code/more"):
        fetch_files(client_of(recorded), "models:/m/1", str(store), "run", tmp_path / "again")


def test_missing_model_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="models:/m/1: expected the files of a model") as caught:
        fetch_files(client_of(None), "models:/m/1", str(tmp_path / "none"), None, tmp_path / "into")
    assert "\n" not in str(caught.value)


def test_planted_pickle_works_when_loaded(tmp_path: Path) -> None:
    """Else the tests below could not fail."""
    pickle.loads(pickle.dumps(MaliciousPickle(tmp_path / "pwned")))  # noqa: S301
    assert (tmp_path / "pwned").exists()


def test_parquet_npy_and_skops_readers_do_not_unpickle(tmp_path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import skops.io
    from sklearn.linear_model import LogisticRegression

    from pipeline.storage.parquet import read_table
    from serving.model.estimator_files import ESTIMATOR, load_estimator, save_estimator
    from sources.files import FileSource
    from stockpred.errors import StockpredError

    trap = tmp_path / "pwned"
    planted = pickle.dumps(MaliciousPickle(trap))
    # Parquet: an extension type of old that was pickled, and an object column of pandas.
    meta = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": planted,
    }
    field = pa.field("x", pa.binary(), metadata=meta)
    pq.write_table(pa.table([[planted]], schema=pa.schema([field])), tmp_path / "t.parquet")
    read_table(tmp_path / "t.parquet").to_pandas()
    with pytest.raises(StockpredError):
        FileSource("t.parquet", tmp_path).read(None, None, None)
    # skops: an array of objects in place of one of numbers, and a type that nobody trusts.
    fitted = LogisticRegression().fit(np.array([[0.0], [1.0]]), [0, 1])
    path = save_estimator(fitted, tmp_path)[ESTIMATOR]
    assert load_estimator({ESTIMATOR: path}, "logistic") is not None
    array = np.array([None], dtype=object)
    array[0] = MaliciousPickle(trap)
    np.save(tmp_path / "evil.npy", array, allow_pickle=True)
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(tmp_path / "evil.skops", "w") as after:
        for name in before.namelist():
            evil = (tmp_path / "evil.npy").read_bytes() if name.endswith(".npy") else None
            after.writestr(name, evil or before.read(name))
    with pytest.raises(ValueError, match="allow_pickle"):
        load_estimator({ESTIMATOR: tmp_path / "evil.skops"}, "logistic")
    skops.io.dump(MaliciousPickle(trap), tmp_path / "odd.skops")
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException):
        load_estimator({ESTIMATOR: tmp_path / "odd.skops"}, "logistic")
    # A pickle under the name of what is wanted.
    for name in ("t.parquet", "estimator.skops", "estimator.json"):
        (tmp_path / name).write_bytes(planted)
    for call in (
        lambda: read_table(tmp_path / "t.parquet"),
        lambda: FileSource("t.parquet", tmp_path).read(None, None, None),
        lambda: load_estimator({ESTIMATOR: tmp_path / "estimator.skops"}, "logistic"),
    ):
        with pytest.raises((InputError, StockpredError, zipfile.BadZipFile)):
            call()
    assert not trap.exists()


def test_copy_leaves_the_store_unchanged(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "store", CONF)
    before = sorted(str(path) for path in folder.rglob("*"))
    copy = fetch_files(client_of(None), "models:/m/1", str(folder), None, tmp_path / "into")
    shutil.rmtree(copy)
    assert sorted(str(path) for path in folder.rglob("*")) == before
