"""What people see when a chain has ended: a table on the terminal, a note on the parent run."""

from collections.abc import Sequence
from html import escape

from pipeline.step import FinishedStep
from pipeline.tags import TAG_KEY_FIGURE

_HEAD = ("step", "", "seconds", "key figure", "run id")


def text_table(finished: Sequence[FinishedStep]) -> str:
    """The finished steps as an aligned text table, one line a step."""
    rows = [
        (
            done.step,
            done.status,
            f"{done.seconds:.1f}",
            done.tags.get(TAG_KEY_FIGURE, ""),
            done.run_id,
        )
        for done in finished
    ]
    widths = [max(len(row[i]) for row in [_HEAD, *rows]) for i in range(len(_HEAD))]
    lines = [_line(_HEAD, widths), "  ".join("-" * width for width in widths)]
    return "\n".join(lines + [_line(row, widths) for row in rows])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    right = 2  # seconds
    aligned = [
        cell.rjust(width) if i == right else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()


def markdown_table(finished: Sequence[FinishedStep], experiment_id: str) -> str:
    """The same as Markdown with links, for the parent run's description in the MLflow UI."""
    lines = ["| step | | seconds | key figure |", "| --- | --- | ---: | --- |"]
    for done in finished:
        link = f"[{done.step}](#/experiments/{experiment_id}/runs/{done.run_id})"
        figure = escape(" ".join(done.tags.get(TAG_KEY_FIGURE, "").split())).replace("|", "\\|")
        lines.append(f"| {link} | {done.status} | {done.seconds:.1f} | {figure} |")
    return "\n".join(lines)
