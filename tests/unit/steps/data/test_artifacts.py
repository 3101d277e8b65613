"""Tables that no step wrote, where an artifact is expected."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import write_groups
from sources import FetchedBars
from steps.data.artifacts import ACQUIRED, FORECASTS, SOUND, ArtifactKind, fetch_artifact
from steps.data.feature_table import FEATURES
from steps.data.stored_bars import write_bars
from steps.data.validation import FileValidation
from stockpred.bars.schema import SCHEMA, BarsInfo
from stockpred.columns import BARS
from stockpred.errors import ParameterError
from tests.support.data.bars import make_bars


def table_of(*columns: str, metadata: dict[bytes, bytes] | None = None) -> pa.Table:
    return pa.table({name: [1.0] for name in columns}).replace_schema_metadata(metadata)


FILES: dict[str, Any] = {
    "raw.csv": ",".join(BARS),
    "raw.parquet": table_of(*BARS),
    "foreign.parquet": table_of("a"),
    "features.parquet": table_of("symbol", "date", "up_0", metadata={b"stockpred.table": b"{}"}),
    "predictions.parquet": table_of(*FORECASTS.columns),
}
NO_PARQUET, NO_STEP = "a file that is no Parquet", "a file that no such step wrote"
WRONG = [
    ("raw.csv", ACQUIRED, NO_PARQUET),
    ("raw.parquet", ACQUIRED, NO_STEP),
    ("foreign.parquet", ACQUIRED, "a file without the column 'symbol'"),
    ("features.parquet", ACQUIRED, "a file without the column 'open'"),
    ("raw.csv", FEATURES, NO_PARQUET),
    ("raw.parquet", FEATURES, NO_STEP),
    ("raw.csv", FORECASTS, NO_PARQUET),
    ("raw.parquet", FORECASTS, "a file without the column 'probability_up'"),
]


@pytest.fixture
def step(tmp_path: Path) -> StepRun:
    for name, content in FILES.items():
        if isinstance(content, str):
            (tmp_path / name).write_text(content)
        else:
            pq.write_table(content, tmp_path / name)
    (tmp_path / "scratch").mkdir()
    return StepRun(None, "", tmp_path, tmp_path / "scratch")  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "kind", "got"), WRONG)
def test_artifact_of_another_kind_is_refused_by_parameter(
    step: StepRun, name: str, kind: ArtifactKind, got: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        fetch_artifact(step, "thing", name, kind)
    start = f"thing={name!r}: expected {kind.name}, got {got}. Fix: "
    assert str(caught.value).startswith(start)
    assert ("source=" in str(caught.value)) is (kind is ACQUIRED)


def test_artifact_of_the_right_kind_is_fetched(step: StepRun, tmp_path: Path) -> None:
    info = BarsInfo("x", "y", {})
    metadata = SCHEMA.empty_table().replace_schema_metadata(info.to_metadata())
    pq.write_table(metadata, tmp_path / "bars.parquet")
    for name, kind in (
        ("bars.parquet", ACQUIRED),
        ("features.parquet", FEATURES),
        ("predictions.parquet", FORECASTS),
        ("bars.parquet", SOUND),  # also of an earlier release, or of a user's own making
    ):
        assert fetch_artifact(step, "thing", name, kind) == tmp_path / name
    with pytest.raises(InputError):
        fetch_artifact(step, "thing", "none.parquet", ACQUIRED)


def test_bars_of_acquire_are_refused_where_sound_ones_are_read(
    step: StepRun, tmp_path: Path
) -> None:
    info, path = BarsInfo("x", "y", {"AAA": "union"}), tmp_path / "bars.parquet"
    write_bars(path, FetchedBars(make_bars(300), info, {}))
    assert fetch_artifact(step, "bars", "bars.parquet", ACQUIRED) == path
    with pytest.raises(ParameterError, match=r"expected bars.parquet of validate, got that of acq"):
        fetch_artifact(step, "bars", "bars.parquet", SOUND)
    validation = FileValidation(path, info, np.datetime64("2030-01-01", "s"), 5)
    sound = tmp_path / "sound.parquet"
    write_groups(sound, validation.sound_bars(), lambda: validation.sound_info().to_metadata())
    assert fetch_artifact(step, "bars", "sound.parquet", SOUND) == sound
