"""Checking the body of a request against a model's signature, before anything reads it.

It knows columns and types from the signature alone, and imports nothing of the project: the process
that serves a model knows only the model's code. What the numbers must be, the model itself tells.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = ("dataframe_records", "dataframe_split")
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(T00:00:00(\.0+)?)?", re.ASCII)
_YEARS = range(1678, 2262)  # those that nanoseconds in 64 bits can tell
_SEEN_AS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
_TAKEN: Mapping[str, tuple[set[type], str]] = {
    "boolean": ({bool}, "true or false"),
    "integer": ({int}, "a whole number"),
    "long": ({int}, "a whole number"),
    "float": ({int, float}, "a number"),
    "double": ({int, float}, "a number"),
    "string": ({str}, "text"),
    "datetime": ({str}, "a date such as 2012-12-31"),
}


class InvalidRequest(ValueError):
    """What is wrong with a request, as one sentence without its data."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def check_request(body: bytes, media_type: str, inputs: Any, params: Any, max_rows: int) -> None:
    """Raise `InvalidRequest` where MLflow would not read a body, or read something else into it.

    Parameters
    ----------
    inputs, params
        The model's `mlflow.types.Schema` and `mlflow.types.ParamSchema` or None.
    """
    if media_type.partition(";")[0].strip().lower() != "application/json":
        raise InvalidRequest(
            "the body must be JSON; send it with the content type application/json"
        )
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest(
            "the body is not JSON; give an object with dataframe_records"
        ) from None
    given = [name for name in FORMATS if isinstance(content, dict) and name in content]
    if len(given) != 1 or set(content) - {*given, "params"}:
        raise InvalidRequest(
            f"the body must hold one of {' or '.join(FORMATS)}, and may hold params"
        )
    read = _records if given[0] == "dataframe_records" else _split
    columns = read(content[given[0]], max_rows)
    wanted = {spec.name: spec for spec in inputs.inputs}
    for name in wanted:
        if name not in columns and wanted[name].required:
            raise InvalidRequest(f"column {name!r} is missing; give {', '.join(wanted)}")
    for name in columns:
        if name not in wanted:
            raise InvalidRequest(f"column {_short(name)} is one too many; give {', '.join(wanted)}")
    for name, values in columns.items():
        _check_values(f"column {name!r}", wanted[name].type.name, values)
    _check_params(content.get("params"), params)


def _records(rows: Any, max_rows: int) -> Mapping[str, Sequence[Any]]:
    _check_rows(rows, dict, "an object", max_rows)
    names = rows[0].keys()
    for number, row in enumerate(rows, 1):
        if row.keys() != names:
            odd = sorted(row.keys() ^ names)[0]
            what = "not in row 1" if odd in row else "missing"
            raise InvalidRequest(
                f"row {number}: column {_short(odd)} is {what}; give all rows the same"
            )
    return {name: [row[name] for row in rows] for name in names}


def _split(table: Any, max_rows: int) -> Mapping[str, Sequence[Any]]:
    parts = table if isinstance(table, dict) else {}
    if not {"columns", "data"} <= set(parts) <= {"columns", "data", "index"}:
        raise InvalidRequest("dataframe_split must be an object of columns and data")
    names, rows = parts["columns"], parts["data"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("columns must be a list of names")
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"column {_short(name)} stands twice; give it once")
    _check_rows(rows, list, "a list", max_rows)
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise InvalidRequest(
                f"row {number}: {len(row)} values for {len(names)} columns; give as many"
            )
    index = parts.get("index", list(range(len(rows))))
    if not isinstance(index, list) or len(index) != len(rows) or {*map(type, index)} - {int, str}:
        raise InvalidRequest("index must be a list with a number or a name a row; or leave it out")
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _check_rows(rows: Any, kind: type, word: str, max_rows: int) -> None:
    if not isinstance(rows, list):
        raise InvalidRequest("the rows must be a list")
    if not rows:
        raise InvalidRequest("there are no rows; give the bars of at least one symbol")
    if len(rows) > max_rows:
        raise InvalidRequest(f"{len(rows)} rows are too many; give at most {max_rows} a request")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, kind):
            raise InvalidRequest(f"row {number} is not {word}")


def _check_values(where: str, kind: str, values: Sequence[Any]) -> None:
    """Types alone: a null reaches the model, which refuses it by its own rule."""
    taken, word = _TAKEN[kind]
    if odd := {*map(type, values)} - taken - {type(None)}:
        row, value = next((r, v) for r, v in enumerate(values, 1) if type(v) in odd)
        raise InvalidRequest(f"row {row}: {where} is {_SEEN_AS[type(value)]}; give {word}")
    bad: set[Any]
    if kind in ("float", "double", "integer", "long"):
        bits = 1023 if kind in ("float", "double") else 63
        bad = {v for v in values if type(v) is int and v.bit_length() > bits}
    elif kind == "datetime":
        days = {*values} - {None}
        bad = {v for v in days if not _is_day(v)}
        if not bad and len({*map(len, days)}) > 1:
            raise InvalidRequest(f"{where} is written in two ways; give dates such as 2012-12-31")
    else:
        bad = {v for v in {*values} - {None} if isinstance(v, str) and not _is_text(v)}
    if bad:
        row = next(row for row, value in enumerate(values, 1) if value in bad)
        raise InvalidRequest(f"row {row}: {where} is not {word}; give one")


def _is_day(text: str) -> bool:
    found = _DAY.fullmatch(text)
    try:
        return found is not None and dt.date.fromisoformat(found[1]).year in _YEARS
    except ValueError:
        return False


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair
        return False
    return True


def _check_params(given: Any, params: Any) -> None:
    known = {spec.name: spec for spec in params.params} if params else {}
    if given is None:
        return
    if not isinstance(given, dict):
        raise InvalidRequest("params must be an object")
    for name, value in given.items():
        if name not in known:
            there = ", ".join(known) or "nothing"
            raise InvalidRequest(f"params: {_short(name)} is not known; give {there}")
        taken, word = _TAKEN[known[name].dtype.name]
        if type(value) not in taken:
            raise InvalidRequest(f"params: {name!r} is {_SEEN_AS[type(value)]}; give {word}")


def _short(name: str) -> str:
    return repr(name) if len(name) <= 40 else repr(name[:37] + "...")
