"""Summary of a chain: a table for the terminal and a note for the MLflow UI."""

from collections.abc import Sequence
from html import escape

from pipeline.log.console import text_table
from pipeline.step import FinishedStep
from pipeline.tags import TAG_KEY_FIGURE
from pipeline.tracking.ui_pages import run_page

_HEAD = ("step", "", "seconds", "key figure", "run id")


def step_table(finished: Sequence[FinishedStep]) -> str:
    """Return the finished steps as an aligned text table, one line a step."""
    rows = [
        (s.step, s.status, f"{s.seconds:.1f}", s.tags.get(TAG_KEY_FIGURE, ""), s.run_id)
        for s in finished
    ]
    rule = ["-" * max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    return "\n".join(text_table([_HEAD, rule, *rows], right=[_HEAD.index("seconds")]))


def markdown_table(finished: Sequence[FinishedStep], experiment_id: str) -> str:
    """Return the finished steps as a Markdown table with links, a description in the MLflow UI.

    Parameters
    ----------
    finished : sequence of FinishedStep
    experiment_id : str
        Part of the links.

    Returns
    -------
    str
        Markup in key figures is escaped.
    """
    lines = ["| step | | seconds | key figure |", "| --- | --- | ---: | --- |"]
    for step in finished:
        link = f"[{step.step}]({run_page(experiment_id, step.run_id)})"
        figure = escape(" ".join(step.tags.get(TAG_KEY_FIGURE, "").split())).replace("|", "\\|")
        lines.append(f"| {link} | {step.status} | {step.seconds:.1f} | {figure} |")
    return "\n".join(lines)
