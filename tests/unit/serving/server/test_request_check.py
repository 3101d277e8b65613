"""Request bodies against a signature: accepted and refused ones."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from serving.server.request_check import InvalidRequest, check_headers, check_request

# MLflow's own, when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
DAYS = ("2012-12-28", "2012-12-31", "2013-01-02")
INPUTS = Schema(
    [
        ColSpec(DataType.string, "symbol"),
        ColSpec(DataType.datetime, "date"),
        ColSpec(DataType.double, "close"),
        ColSpec(DataType.double, "adj_close", required=False),
        ColSpec(DataType.long, "count", required=False),
    ]
)
PARAMS = ParamSchema([ParamSpec("all_dates", DataType.boolean, False)])
ROWS = [{"symbol": "AAA", "date": day, "close": 10.5} for day in DAYS]
SPLIT = {"columns": ["symbol", "date", "close"], "data": [list(row.values()) for row in ROWS]}


def ask(content: Any, max_rows: int = 5) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    check_request(body, INPUTS, PARAMS, max_rows)


def rows(**changes: Any) -> list[dict[str, Any]]:
    """The rows with the second one changed."""
    return [ROWS[0], {**ROWS[1], **changes}, ROWS[2]]


def all_rows(**changes: Any) -> list[dict[str, Any]]:
    return [{**row, **changes} for row in ROWS]


GOOD = {
    "records": {"dataframe_records": ROWS},
    "split": {"dataframe_split": SPLIT},
    "with an index": {"dataframe_split": {**SPLIT, "index": [5, "x", 7]}},
    "params": {"dataframe_records": ROWS, "params": {"all_dates": True}},
    "no params": {"dataframe_records": ROWS, "params": None},
    "whole numbers": {"dataframe_records": all_rows(close=10, count=3)},
    "null, for the model to refuse": {"dataframe_records": all_rows(close=None, symbol=None)},
    "times of midnight": {
        "dataframe_records": [{**row, "date": row["date"] + "T00:00:00.000"} for row in ROWS]
    },
}


@pytest.mark.parametrize("name", GOOD)
def test_check_request_accepts_readable_bodies(name: str) -> None:
    ask(GOOD[name])


# Start of the message -> a body that it refuses.
BAD: dict[str, Any] = {
    "body: expected JSON": b"{",
    "body: expected JSON, got": b"\xff\xfe{",
    "body: expected JSON, got some": b"[" * 100_000,
    "body: expected an object with one of dataframe_records or dataframe_split": [1],
    "body: expected an object with one of": {"inputs": ROWS},
    "body: expected an object with one": {"dataframe_records": ROWS, "dataframe_split": SPLIT},
    "body: expected an object with": {"dataframe_records": ROWS, "more": 1},
    "rows: expected a list, got an object": {"dataframe_records": {"0": ROWS[0]}},
    "rows: expected at least 1": {"dataframe_records": []},
    "rows: expected at least 1, got 0. Fix": {"dataframe_split": {**SPLIT, "data": []}},
    "rows: expected at most 5, got 6": {"dataframe_records": ROWS * 2},
    "row 2: expected an object, got a number": {"dataframe_records": [ROWS[0], 1]},
    "row 2: expected a list": {"dataframe_split": {**SPLIT, "data": [[1, 2, 3], {}]}},
    "row 2, column 'close': expected the columns of row 1, got one less": {
        "dataframe_records": [ROWS[0], {"symbol": "SECRET"}]
    },
    "row 2, column 'x': expected the columns of row 1, got one more": {
        "dataframe_records": rows(x=1)
    },
    "row 1: expected 3 values, one a column, got 2": {
        "dataframe_split": {**SPLIT, "data": [[1, 2]]}
    },
    "dataframe_split: expected an object": {"dataframe_split": [1]},
    "dataframe_split: expected": {"dataframe_split": {"columns": ["close"]}},
    "columns: expected a list of names": {"dataframe_split": {**SPLIT, "columns": [1, 2, 3]}},
    "column 'date': expected each column once": {
        "dataframe_split": {**SPLIT, "columns": ["date"] * 3}
    },
    "index: expected a list": {"dataframe_split": {**SPLIT, "index": [1]}},
    "index: expected a list with": {"dataframe_split": {**SPLIT, "index": [{}, [], 1]}},
    "column 'symbol': .* got none. Fix: give symbol, date, close, adj_close, count": {
        "dataframe_records": [{"date": DAYS[0], "close": 1.0}]
    },
    "column 'x': .* got an unknown column": {"dataframe_records": all_rows(x="SECRET")},
    "column 'xxxxxxxxxx.*xxx...': .* got an unknown column": {
        "dataframe_records": all_rows(**{"x" * 99: 1})
    },
    "row 2, column 'close': expected a number, got text": {
        "dataframe_records": rows(close="SECRET")
    },
    "row 2, column 'close': expected a number, got true": {"dataframe_records": rows(close=True)},
    "row 2, column 'close': expected a number, got a list": {
        "dataframe_records": rows(close=["SECRET"])
    },
    "row 2, column 'close': .* got one too large": {"dataframe_records": rows(close=10**400)},
    "row 1, column 'count': expected a whole number, got a number": {
        "dataframe_records": all_rows(count=1.5)
    },
    "row 1, column 'count': .* got one too large": {"dataframe_records": all_rows(count=2**64)},
    "row 2, column 'symbol': expected text, got a number": {"dataframe_records": rows(symbol=7)},
    "row 2, column 'symbol': expected text, got half": {"dataframe_records": rows(symbol="\ud800")},
    "row 2, column 'date': .* got a number": {"dataframe_records": rows(date=1356912000)},
    "row 2, column 'date': expected a date": {"dataframe_records": rows(date="31.12.2012")},
    "row 2, column 'date': expected a date such": {"dataframe_records": rows(date="2012-13-31")},
    "row 2, column 'date': expected a date such as": {"dataframe_records": rows(date="0001-01-01")},
    "row 2, column 'date': expected a": {"dataframe_records": rows(date="2012-12-31T09:30:00")},
    "row 2, column 'date': expected": {"dataframe_records": rows(date="2012-12-31T00:00:00Z")},
    "column 'date': .* got two forms": {"dataframe_records": rows(date="2012-12-31T00:00:00")},
    "params: expected an object, got a list": {"dataframe_records": ROWS, "params": [1]},
    "params, 'SECRET': expected one of all_dates": {
        "dataframe_records": ROWS,
        "params": {"SECRET": 1},
    },
    "params, 'all_dates': expected true or false, got text": {
        "dataframe_records": ROWS,
        "params": {"all_dates": "SECRET"},
    },
}


@pytest.mark.parametrize("words", BAD)
def test_check_request_refuses_a_bad_body_in_one_line_without_data(words: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{words}") as caught:
        ask(BAD[words])
    text = str(caught.value)
    assert "\n" not in text and len(text) < 200 and caught.value.status == 400
    assert ("SECRET" in text) == ("SECRET" in words), "the name of a column or parameter alone"


JSON_TYPES = ["application/json", "APPLICATION/JSON", "Application/Json;CHARSET=UTF-8"]
JSON_TYPES += ['application/json ; charset="utf-8"', "application/json;charset=utf8;"]
JSON_TYPES += ["application/json; charset=us-ascii"]


@pytest.mark.parametrize("content_type", JSON_TYPES)
@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_check_headers_accepts_json_in_utf8(content_type: str, encoding: str) -> None:
    check_headers({"content-type": content_type, "content-encoding": encoding})
    check_headers({"content-type": content_type})


@pytest.mark.parametrize(
    ("content_type", "got"),
    [
        ("", "none"),
        (" ", "none"),
        ("text/csv", "'text/csv'"),
        ("application/jsonx", "'application/jsonx'"),
        ("application/x-parquet", "'application/x-parquet'"),
        ("application/json, text/csv", "'application/json, text/csv'"),
        (";", "';'"),
        ("application/json; charset*=x'y'z", "the parameter \"charset=('x', 'y', 'z')\""),
        ("application/json; format=pandas-records", "the parameter 'format=pandas-records'"),
        ("application/json; charset=ISO-8859-1", "the parameter 'charset=ISO-8859-1'"),
        ("application/json; charset=utf-16", "the parameter 'charset=utf-16'"),
        ("application/json; charset=utf-8; charset=utf-16", "the parameter 'charset=utf-16'"),
        ("application/json; charset", "the parameter 'charset='"),
        ("x" * 500, "'" + "x" * 37 + "...'"),
    ],
)
def test_check_headers_refuses_another_content_type_by_name(content_type: str, got: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_headers({"content-type": content_type})
    expected = "header Content-Type: expected application/json, in UTF-8, got "
    assert str(caught.value).startswith(f"{expected}{got}. Fix: ")
    assert caught.value.status == 400
    if not content_type.strip():
        with pytest.raises(InvalidRequest, match="got none"):
            check_headers({})


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip", "BR"])
def test_check_headers_refuses_a_compressed_body_by_name(encoding: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^header Content-Encoding: .* got '{encoding}'"):
        check_headers({"content-type": "application/json", "content-encoding": encoding})


@given(text=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])))
def test_check_headers_of_any_text_passes_or_names_the_header(text: str) -> None:
    try:
        check_headers({"content-type": text, "content-encoding": text[::-1]})
    except InvalidRequest as error:
        assert str(error).startswith("header Content-") and "\n" not in str(error)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
ANYTHING = st.recursive(
    LEAVES | st.sampled_from(DAYS),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(["columns", "data", "index", "close", "x"]), below)
    ),
    max_leaves=6,
)


@given(change=ANYTHING, place=st.sampled_from(["body", "rows", "row", "cell", "split", "params"]))
@settings(max_examples=200, deadline=None)
def test_check_request_accepts_only_what_mlflow_reads(change: Any, place: str) -> None:
    content = {
        "body": change,
        "rows": {"dataframe_records": change},
        "row": {"dataframe_records": [ROWS[0], change]},
        "cell": {"dataframe_records": rows(close=change, date=change, symbol=change)},
        "split": {"dataframe_split": change},
        "params": {"dataframe_records": ROWS, "params": change},
    }[place]
    try:
        ask(content)
    except InvalidRequest as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        # What passes, MLflow reads.
        from mlflow.pyfunc.scoring_server import infer_and_parse_data

        infer_and_parse_data({k: v for k, v in content.items() if k != "params"}, INPUTS)


@given(body=st.binary(max_size=30))
def test_check_request_refuses_any_bytes_that_are_no_request(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        ask(body)
