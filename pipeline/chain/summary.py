"""Summary of a chain: a table for the terminal and a note for the MLflow UI."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import NamedTuple

from pipeline.log.console import text_table
from pipeline.step import FinishedStep
from pipeline.tags import TAG_KEY_FIGURE
from pipeline.tracking.ui_pages import run_page

# Markdown, but for an underscore within a word, which it shows.
_MARKUP = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")
_HEAD = ("step", "", "seconds", "key figure", "run id")


def step_table(finished: Sequence[FinishedStep]) -> str:
    """Return the finished steps as an aligned text table, one line a step."""
    rows = [
        (s.step, s.status, f"{s.seconds:.1f}", s.tags.get(TAG_KEY_FIGURE, ""), s.run_id)
        for s in finished
    ]
    rule = ["-" * max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    return "\n".join(text_table([_HEAD, rule, *rows], right=[_HEAD.index("seconds")]))


class Description(NamedTuple):
    """Name of a chain's run, and the text above its table of steps.

    Attributes
    ----------
    name : str
        Of the run, unless the user gave one.
    opening : str
        Markdown above the table of steps.
    pages : mapping of str to str
        Step -> its page for people, linked above the table.
    """

    name: str
    opening: str = ""
    pages: Mapping[str, str] = MappingProxyType({})


def note(finished: Sequence[FinishedStep], experiment_id: str, text: Description) -> str:
    """Return the description of a chain's run in the MLflow UI, as Markdown.

    Parameters
    ----------
    finished : sequence of FinishedStep
    experiment_id : str
        Part of the links.
    text : Description

    Returns
    -------
    str
        Markup in key figures is escaped.
    """
    lines = ["| step | | seconds | key figure |", "| --- | --- | ---: | --- |"]
    for step in finished:
        link = f"[{step.step}]({run_page(experiment_id, step.run_id)})"
        figure = escape_markup(step.tags.get(TAG_KEY_FIGURE, ""))
        lines.append(f"| {link} | {step.status} | {step.seconds:.1f} | {figure} |")
    pages = [
        f"[{page}]({run_page(experiment_id, step.run_id, page)})"
        for step in finished
        if (page := text.pages.get(step.step)) is not None
    ]
    # MLflow shows the first 100 pixels, and the rest on a click.
    above = [text.opening, " · ".join(pages)]
    return "\n\n".join([*filter(None, above), "\n".join(lines)])


def escape_markup(text: str) -> str:
    r"""Return a text as one line of Markdown that is shown as it is, also in a table.

    Examples
    --------
    >>> print(escape_markup("max_age=5 of *A|B* and [C](http://c)"))
    max_age=5 of \*A\|B\* and \[C\](http://c)
    """
    return _MARKUP.sub(r"\\\g<0>", escape(" ".join(text.split()), quote=False))
