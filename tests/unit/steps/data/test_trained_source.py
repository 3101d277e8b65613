"""The source that a model was trained on: recorded, found again, read where none is given."""

import json
import logging
from pathlib import Path
from typing import cast

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from pipeline.registry.model_uri import ResolvedModel
from pipeline.run.step_run import StepRun
from sources import open_source
from steps.data.source import BarsOptions, check_failures, read_bars
from steps.data.trained_source import TrainedSource, absolute_source
from steps.registration.trained_source import evaluated_source, read_trained_source
from stockpred.errors import NotEnoughData, ParameterError
from tests.support.data.bars import make_bars

UNREGISTERED = ResolvedModel("models:/m-1", None, None, None, None)


def a_run(folder: Path) -> StepRun:
    """Open no run: inputs on this machine need neither client nor store."""
    return StepRun(cast("MlflowClient", None), "0", folder, folder)


@pytest.mark.parametrize("source", ["snapshot", "yahoo", "s3://a/b.parquet", "file:///a.csv"])
def test_absolute_source_of_a_word_or_uri_is_itself(source: str) -> None:
    assert absolute_source(source) == source


def test_absolute_source_of_a_path_is_relative_to_the_project(tmp_path: Path) -> None:
    assert absolute_source("bars/*.csv", tmp_path) == f"{tmp_path}/bars/*.csv"
    assert absolute_source("/x/y.csv", tmp_path) == "/x/y.csv"


def test_trained_source_is_read_from_the_models_metadata(tmp_path: Path) -> None:
    known = TrainedSource("/x/y.csv", ("A,B", "É"))
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"metadata": known.to_metadata()}))
    assert read_trained_source(a_run(tmp_path), UNREGISTERED, tmp_path / "MLmodel") == known


def test_trained_source_of_an_earlier_model_is_that_of_its_evaluation(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("metadata: {git_commit: a}\n")
    assert read_trained_source(a_run(tmp_path), UNREGISTERED, tmp_path / "MLmodel") is None
    (tmp_path / "evaluation.json").write_text(json.dumps({"source": "yahoo"}))
    rows = pd.DataFrame({"symbol": ["B", "B", "A"]})
    rows.to_parquet(tmp_path / "holdout_predictions.parquet")
    tags = {
        "evaluation": str(tmp_path / "evaluation.json"),
        "predictions": str(tmp_path / "holdout_predictions.parquet"),
    }
    fetch = a_run(tmp_path).fetch_input
    assert evaluated_source(fetch, tags) == TrainedSource("yahoo", ("B", "A"))
    assert evaluated_source(fetch, {**tags, "evaluation": "gone.json"}) is None
    assert evaluated_source(fetch, {}) is None
    (tmp_path / "evaluation.json").write_text(json.dumps({"source": "unknown"}))
    assert evaluated_source(fetch, tags) is None


def options(source: str | None = None, symbols: tuple[str, ...] | None = None) -> BarsOptions:
    return BarsOptions(None, source, symbols, None, 0.05)


def test_source_options_without_a_source_are_those_of_training() -> None:
    known = TrainedSource("/x/y.csv", ("A", "B"))
    default = options().source_options(lambda: known)
    assert (default.source, default.symbols) == ("/x/y.csv", ("A", "B"))
    assert options(symbols=("C",)).source_options(lambda: known).symbols == ("C",)
    given = options("snapshot").source_options(lambda: known)
    assert (given.source, given.symbols) == ("snapshot", None)
    with pytest.raises(ParameterError, match=r"^source='none': .* Fix: give source="):
        options().source_options(lambda: None)


def test_symbol_that_left_the_file_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("A", "B", "C", "D", "NEW")
    pd.concat([make_bars(9, name) for name in names]).to_csv(tmp_path / "a.csv", index=False)
    symbols = ("A", "B", "C", "D", "GONE")
    known = TrainedSource(str(tmp_path / "a.csv"), symbols)
    wanted = options().source_options(lambda: known)
    logger = logging.getLogger("pipeline")
    logger.addHandler(caplog.handler)
    try:
        fetched = read_bars(open_source(wanted.source, tmp_path), wanted)
    finally:
        logger.removeHandler(caplog.handler)
    assert list(fetched.info.calendars) == ["A", "B", "C", "D"]
    assert fetched.bars["symbol"].unique().tolist() == ["A", "B", "C", "D"]
    assert any("1 symbol that the model was trained on left out" in m for m in caplog.messages)
    assert list(check_failures(fetched, wanted)) == ["GONE"]
    few = options().source_options(lambda: TrainedSource(known.source, ("A", "X", "Y", "Z")))
    with pytest.raises(NotEnoughData, match="3 that could not be fetched: X: not in the source"):
        check_failures(read_bars(open_source(few.source, tmp_path), few), few)
    # What the user names must be there.
    named = options(symbols=symbols).source_options(lambda: known)
    with pytest.raises(ParameterError, match="symbols='GONE'"):
        read_bars(open_source(named.source, tmp_path), named)
