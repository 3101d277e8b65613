"""Progress of a count of parts: in a log, as JSON, on a terminal."""

import io
import json
import sys

import pytest

from pipeline.log.console import Progress, logger
from pipeline.tags import ENV_LOG_FORMAT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_parts(seconds_each: float, parts: int) -> None:
    clock = iter(seconds_each * n for n in range(parts + 1))
    progress = Progress("fits", lambda: next(clock))
    for part in range(1, parts + 1):
        progress(part, parts, f"fold {part}")


def test_progress_in_a_log_is_one_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    run_parts(25, 10)  # after 25, 50, 75, ... seconds
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "3 of 10 fits, about 3 min left; last: fold 3",
        "6 of 10 fits, about 2 min left; last: fold 6",
        "9 of 10 fits, about 25 s left; last: fold 9",
    ]
    run_parts(5, 10)
    assert capsys.readouterr().err == "", "less than a minute"


def test_progress_as_json_is_an_event_with_the_seconds_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_LOG_FORMAT, "json")
    monkeypatch.setattr(sys, "stderr", Terminal())
    run_parts(60, 2)
    line = json.loads(sys.stderr.getvalue())
    assert (line["event"], line["seconds"]) == ("progress", 60)
    assert line["message"].startswith("1 of 2 fits")


def test_progress_on_a_terminal_is_one_line_that_log_lines_do_not_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("fits")
    progress(1, 3, "fold 1")
    logger.info("logistic, trial 0, complete")
    progress(2, 3, "fold 2")
    progress(3, 3, "fold 3")
    rows = [row.rpartition("\r")[2] for row in terminal.getvalue().split("\n")]
    assert "fits:" in terminal.getvalue() and "fold 1" in terminal.getvalue()
    assert rows[0] == "logistic, trial 0, complete"
    assert len(rows) == 2 and not rows[1].strip(), "the bar leaves no line"
