"""Writes the files that are made from the table of parameters.

These are MLproject, docker/project/MLproject and the tables of docs/parameters.md. With `--check`
they are compared instead, and a difference is an error.
"""

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from steps.cli.command import OptionError, Program
from steps.cli.parameters import CHAIN, ENTRY_POINTS, PARAMETERS, Parameter, taken_by
from steps.cli.types import ROOT, expected_by

WIDTH = 100
PAGE = "docs/parameters.md"
ENVIRONMENTS = {
    "MLproject": "conda_env: conda.yaml",
    "docker/project/MLproject": "docker_env: {image: stockpred}",  # MLflow wants a file of its own
}


def mlproject(environment: str) -> str:
    """Make the text of an MLproject file.

    Parameters
    ----------
    environment : str
        Line that names the environment.

    Returns
    -------
    str
    """
    head = (
        f'# Made by "make generate" from steps/cli/parameters.py.\nname: stockpred\n\n{environment}'
    )
    return "\n\n".join([head, "entry_points:\n" + "\n\n".join(map(_entry, ENTRY_POINTS))]) + "\n"


def _entry(name: str) -> str:
    taken = taken_by(name)
    lines = [f"  {name}:", "    parameters:"]
    for parameter, default in taken.items():
        given = "" if default is None else f', default: "{default}"'
        lines.append(f"      {parameter}: {{type: string{given}}}")
    # No quotes: MLflow quotes each value itself, and inside quotes that is an open door.
    words = [f"--{parameter} {{{parameter}}}" for parameter in taken]
    # An option and its value stay on one line.
    command = " ".join(["python -m", f"steps.{name}", *(word.replace(" ", "\0") for word in words)])
    indent = "      "
    wrapped = textwrap.wrap(
        command,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([*lines, "    command: >-", *wrapped]).replace("\0", " ")


def tables() -> dict[str, str]:
    """Make the tables of the page of parameters: those of the chain, of artifacts, and others."""
    chain = [p for p in PARAMETERS.values() if CHAIN in p.own_defaults]
    artifacts = [p for p in PARAMETERS.values() if p.is_artifact]
    others = [p for p in PARAMETERS.values() if p not in chain and p not in artifacts]
    return {"chain": _table(chain), "others": _table(others), "artifacts": _table(artifacts)}


def _table(parameters: Iterable[Parameter]) -> str:
    head = ["| name | default | value | meaning | taken by |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *map(_row, parameters)])


def _row(parameter: Parameter) -> str:
    value = expected_by(parameter.type) + (f" ({parameter.unit})" if parameter.unit else "")
    more = f"; see [{parameter.page}.md]({parameter.page}.md)" if parameter.page else ""
    default = "required" if parameter.default is None else f"`{parameter.default}`"
    taken = ", ".join(_taken(parameter))
    return f"| `{parameter.name}` | {default} | {value} | {parameter.help}{more} | {taken} |"


def _taken(parameter: Parameter) -> Iterator[str]:
    for name, default in parameter.own_defaults.items():
        yield name if default == parameter.default else f"{name} (`{default}`)"


def page(text: str) -> str:
    """Put the tables into the page of parameters.

    Parameters
    ----------
    text : str
        The page, with ``<!-- table: name -->`` and ``<!-- end -->`` around each table.

    Returns
    -------
    str
    """
    for name, table in tables().items():
        begin, end = f"<!-- table: {name} -->", "<!-- end -->"
        text = re.sub(
            f"({re.escape(begin)}\n).*?({end})",
            lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
    return text


def files(root: Path) -> dict[str, str]:
    """Make every file.

    Parameters
    ----------
    root : Path
        The project's folder.

    Returns
    -------
    dict of str to str
        Path below `root` -> text.
    """
    made = {path: mlproject(environment) for path, environment in ENVIRONMENTS.items()}
    return {**made, PAGE: page((root / PAGE).read_text())}


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="comparison alone")
def command(check: bool) -> None:
    """Write or compare the files."""
    for path, text in files(ROOT).items():
        if not check:
            (ROOT / path).write_text(text)
        elif (ROOT / path).read_text() != text:
            raise OptionError(
                path,
                None,
                expected="what steps/cli/parameters.py says",
                got="another text",
                fix="run make generate and commit what it writes",
            )


main = Program(command)

if __name__ == "__main__":
    sys.exit(main())
