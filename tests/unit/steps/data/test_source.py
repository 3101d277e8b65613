"""Reading of a source by a step."""

import logging
from pathlib import Path

import pytest

from sources.files import FileSource
from steps.data.source import SourceOptions, read_bars
from tests.support.data.bars import make_bars


def test_notes_of_a_source_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Steps that read a source themselves (`acquire`, `score`, `monitor`) say how it was read."""
    make_bars(9).drop(columns="adj_close").to_csv(tmp_path / "a.csv", index=False)
    options = SourceOptions("a.csv", None, None, 0.0)
    logger = logging.getLogger("pipeline")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger="pipeline"):
            read_bars(FileSource("a.csv", tmp_path), options)
    finally:
        logger.removeHandler(caplog.handler)
    assert "bars: adj_close is missing: close is used for it" in caplog.messages
