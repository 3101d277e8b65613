"""Check of a request's headers, and of its body against a model's signature, before MLflow's.

Columns and types come from the signature alone; the rules of the numbers are the model's own. It
imports nothing of the project: the server's process must know only the model's code.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from email.message import Message
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.types import ParamSchema, Schema

_CHARSETS = ("utf-8", "utf8", "us-ascii")
FORMATS = ("dataframe_records", "dataframe_split")
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(T00:00:00(\.0+)?)?", re.ASCII)
_YEARS = range(1678, 2262)  # representable in nanoseconds of 64 bits
_JSON_NAMES: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
# By MLflow's type: the JSON types accepted, and their name.
_ACCEPTED: Mapping[str, tuple[set[type], str]] = {
    "boolean": ({bool}, "true or false"),
    "integer": ({int}, "a whole number"),
    "long": ({int}, "a whole number"),
    "float": ({int, float}, "a number"),
    "double": ({int, float}, "a number"),
    "string": ({str}, "text"),
    "datetime": ({str}, "a date such as 2012-12-31"),
}
_DATE_FIX = "write all dates like 2012-12-31"
_LONGEST_NAME = 40  # characters of a name that is repeated in a message


class InvalidRequest(ValueError):
    """A refused request; its message is one line and holds no value of the request.

    Parameters
    ----------
    subject : str
        Row and column, or part of the body. Without `expected`: what is wrong.
    expected, got, fix : str, optional
        As of `stockpred.errors.StockpredError`, which this process must not import.
    status : int
        HTTP status.
    """

    def __init__(
        self, subject: str, *, expected: str = "", got: str = "", fix: str = "", status: int = 400
    ) -> None:
        message = subject
        if expected:
            message += f": expected {expected}" + (f", got {got}" if got else "")
        super().__init__(f"{message}. Fix: {fix}." if fix else message)
        self.status = status


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that announce another body than JSON in UTF-8.

    Parameters
    ----------
    headers : mapping of str to str
        Name in lower case -> value.

    Raises
    ------
    InvalidRequest
        Another media type, parameter, charset or content encoding.
    """
    encoding = headers.get("content-encoding", "identity").strip()
    if encoding.lower() not in ("", "identity"):
        raise InvalidRequest(
            "header Content-Encoding",
            expected="none",
            got=_shortened(encoding),
            fix="send the body as it is, not compressed",
        )
    content_type = headers.get("content-type", "").strip()
    message = Message()
    message["content-type"] = content_type
    (media_type, _), *parameters = message.get_params([("", "")])
    got = "" if media_type.lower() == "application/json" else _shortened(content_type)
    for name, value in parameters:
        # An empty name is a semicolon at the end.
        if name and (name.lower() != "charset" or str(value).lower() not in _CHARSETS):
            got = got or f"the parameter {_shortened(f'{name}={value}')}"
    if got:
        raise InvalidRequest(
            "header Content-Type",
            expected="application/json, in UTF-8",
            got=got if content_type else "none",
            fix="send JSON with the header Content-Type: application/json",
        )


def check_request(
    body: bytes, inputs: "Schema", params: "ParamSchema | None", max_rows: int
) -> None:
    """Refuse a body that MLflow could not read, or would read as something else.

    Parameters
    ----------
    body : bytes
        JSON in UTF-8.
    inputs, params : mlflow.types.Schema, mlflow.types.ParamSchema or None
        The model's signature.
    max_rows : int
        Most rows of one request.

    Raises
    ------
    InvalidRequest
        The first fault found. A null passes: the model refuses it by its own rule.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest(
            "body",
            expected="JSON",
            got="something else",
            fix="send an object with dataframe_records",
        ) from None
    present = [name for name in FORMATS if isinstance(content, dict) and name in content]
    if len(present) != 1 or set(content) - {*present, "params"}:
        raise InvalidRequest(
            "body",
            expected=f"an object with one of {' or '.join(FORMATS)}, and perhaps params",
            got="something else",
            fix="send just these",
        )
    [form] = present
    read = _read_records if form == "dataframe_records" else _read_split
    _check_columns(read(content[form], max_rows), inputs)
    if content.get("params") is not None:
        _check_params(content["params"], params)


def _check_columns(columns: Mapping[str, Sequence[object]], inputs: "Schema") -> None:
    specs: dict[str, Any] = {str(spec.name): spec for spec in inputs.inputs}
    names = ", ".join(specs)
    for name, spec in specs.items():
        if name not in columns and spec.required:
            raise InvalidRequest(
                f"column {name!r}", expected="a value in each row", got="none", fix=f"give {names}"
            )
    for name in columns:
        if name not in specs:
            raise InvalidRequest(
                f"column {_shortened(name)}",
                expected=f"one of {names}",
                got="an unknown column",
                fix="leave it out",
            )
    for name, values in columns.items():
        _check_values(name, specs[name].type.name, values)


def _read_records(rows: object, max_rows: int) -> Mapping[str, Sequence[object]]:
    records: Sequence[dict[str, object]] = _checked_rows(rows, dict, max_rows)
    names = records[0].keys()
    for number, row in enumerate(records, 1):
        if row.keys() != names:
            odd = sorted(row.keys() ^ names)[0]
            raise InvalidRequest(
                f"row {number}, column {_shortened(odd)}",
                expected="the columns of row 1",
                got="one more" if odd in row else "one less",
                fix="give all rows the same columns",
            )
    return {name: [row[name] for row in records] for name in names}


def _read_split(table: object, max_rows: int) -> Mapping[str, Sequence[object]]:
    parts = table if isinstance(table, dict) else {}
    if not {"columns", "data"} <= set(parts) <= {"columns", "data", "index"}:
        raise InvalidRequest(
            "dataframe_split",
            expected="an object of columns and data",
            got="something else",
            fix="give both, and at most index beside them",
        )
    names = parts["columns"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(
            "columns", expected="a list of names", got="something else", fix="give their names"
        )
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(
                f"column {_shortened(name)}",
                expected="each column once",
                got=f"{names.count(name)}",
                fix="give it once",
            )
    rows: Sequence[list[object]] = _checked_rows(parts["data"], list, max_rows)
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise InvalidRequest(
                f"row {number}",
                expected=f"{len(names)} values, one a column",
                got=f"{len(row)}",
                fix="give as many values as columns",
            )
    index = parts.get("index", list(range(len(rows))))
    if not isinstance(index, list) or len(index) != len(rows) or {*map(type, index)} - {int, str}:
        raise InvalidRequest(
            "index",
            expected="a list with a number or a name for each row",
            got="something else",
            fix="leave it out",
        )
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _checked_rows(rows: object, kind: type, max_rows: int) -> list[Any]:
    if not isinstance(rows, list):
        raise InvalidRequest(
            "rows", expected="a list", got=_JSON_NAMES[type(rows)], fix="give a list of rows"
        )
    if not rows:
        raise InvalidRequest(
            "rows", expected="at least 1", got="0", fix="give the bars of at least one symbol"
        )
    if len(rows) > max_rows:
        raise InvalidRequest(
            "rows", expected=f"at most {max_rows}", got=f"{len(rows)}", fix="send several requests"
        )
    for number, row in enumerate(rows, 1):
        if not isinstance(row, kind):
            raise InvalidRequest(
                f"row {number}",
                expected=_JSON_NAMES[kind],
                got=_JSON_NAMES[type(row)],
                fix="give all rows the same form",
            )
    return rows


def _check_values(column: str, mlflow_type: str, values: Sequence[object]) -> None:
    """Check types and ranges of a column; a null passes."""
    accepted, expected = _ACCEPTED[mlflow_type]
    if odd := {*map(type, values)} - accepted - {type(None)}:
        row, value = next((row, v) for row, v in enumerate(values, 1) if type(v) in odd)
        raise _invalid_value(row, column, expected, _JSON_NAMES[type(value)])
    distinct, bad = {*values} - {None}, set[object]()
    if mlflow_type in ("float", "double", "integer", "long"):
        bits = 1023 if mlflow_type in ("float", "double") else 63
        bad = {v for v in distinct if type(v) is int and v.bit_length() > bits}
        got = "one too large"
    elif mlflow_type == "datetime":
        bad, got = {v for v in distinct if not _is_day(str(v))}, "other text"
        if not bad and len({len(str(v)) for v in distinct}) > 1:
            raise InvalidRequest(
                f"column {column!r}",
                expected="all dates written alike",
                got="two forms",
                fix=_DATE_FIX,
            )
    else:
        bad = {v for v in distinct if isinstance(v, str) and not _is_unicode(v)}
        got = "half of a surrogate pair"
    if bad:
        row = next(row for row, value in enumerate(values, 1) if value in bad)
        raise _invalid_value(row, column, expected, got)


def _invalid_value(row: int, column: str, expected: str, got: str) -> InvalidRequest:
    return InvalidRequest(
        f"row {row}, column {column!r}", expected=expected, got=got, fix=f"give {expected}"
    )


def _is_day(text: str) -> bool:
    match = _DAY.fullmatch(text)
    try:
        return match is not None and dt.date.fromisoformat(match[1]).year in _YEARS
    except ValueError:
        return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_params(values: object, params: "ParamSchema | None") -> None:
    specs: dict[str, Any] = {spec.name: spec for spec in params.params} if params else {}
    if not isinstance(values, dict):
        raise InvalidRequest(
            "params", expected="an object", got=_JSON_NAMES[type(values)], fix="give an object"
        )
    for name, value in values.items():
        if name not in specs:
            raise InvalidRequest(
                f"params, {_shortened(name)}",
                expected=f"one of {', '.join(specs)}" if specs else "no parameter",
                got="an unknown one",
                fix="leave it out",
            )
        accepted, expected = _ACCEPTED[specs[name].dtype.name]
        if type(value) not in accepted:
            raise InvalidRequest(
                f"params, {name!r}",
                expected=expected,
                got=_JSON_NAMES[type(value)],
                fix=f"give {expected}",
            )


def _shortened(name: str) -> str:
    longest = _LONGEST_NAME
    return repr(name) if len(name) <= longest else repr(name[: longest - 3] + "...")
