"""A registered name belongs to a kind of data: source, target and universe."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
from mlflow import MlflowClient

from steps.registration.data_kind import (
    TAG_SYMBOLS,
    DataKind,
    check_kind,
    kind_of_name,
    record_kind,
)
from stockpred.errors import ParameterError
from stockpred.gate.universe import Universe, universe_of
from tests.support.runs.stores import make_client

pytestmark = [
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
US = DataKind("snapshot", universe_of(["AAPL", "FB", "GOOG", "IBM", "MSFT"]))
MINE = DataKind("/data/my bars.csv", universe_of([f"S{n}" for n in range(10)]))
YAHOO = DataKind("yahoo", universe_of(["A", "B", "C", "D"]))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    client = make_client(tmp_path_factory.mktemp("kinds"))
    for name, kind in {"us": US, "mine": MINE, "web": YAHOO}.items():
        client.create_registered_model(name)
        record_kind(client, name, kind)
    return client


def no_fetch(uri: str) -> NoReturn:
    raise AssertionError(uri)


def no_universe() -> NoReturn:
    raise AssertionError("the source alone decides")


def check(client: MlflowClient, name: str, source: str, *symbols: str) -> None:
    check_kind(client, name, no_fetch, source, lambda: universe_of(symbols))


def test_recorded_kind_is_read_back(client: MlflowClient) -> None:
    assert [kind_of_name(client, name, no_fetch) for name in ("us", "mine", "web", "none")] == [
        US,
        MINE,
        YAHOO,
        None,
    ]


def test_data_of_the_same_kind_may_take_a_name(client: MlflowClient) -> None:
    check(client, "us", "snapshot", "AAPL", "IBM", "MSFT")
    check(client, "web", "yahoo", "A", "B", "C", "D", "E", "F")
    check(client, "free", "yahoo", "A")
    # The same file whatever is in it by now, and a renamed one with most of its symbols.
    check_kind(client, "mine", no_fetch, MINE.source, no_universe)
    check(client, "mine", "s3://bucket/renamed.parquet", *MINE.universe.symbols[:7])


@pytest.mark.parametrize(
    ("name", "source", "symbols", "words"),
    [
        (
            "us",
            "/data/my bars.csv",
            ["S1"],
            r"^registered_model='us': expected a name of models of source=/data/my bars.csv, got "
            r"one that belongs to snapshot \(5 symbols: AAPL, FB, GOOG, IBM, MSFT\), target "
            r"open_to_close. Fix: give -P registered_model=us-my-bars.$",
        ),
        ("us", "yahoo", ["AAPL", "FB"], "Fix: give -P registered_model=us-yahoo.$"),
        ("mine", "/data/other/*.csv", ["S1", "T1"], "registered_model=mine-other.$"),
        ("mine", "snapshot", ["S1"], r"file /data/my bars.csv \(10 symbols: S0, .*, \.\.\.\)"),
        ("web", "yahoo", ["A", "X", "Y"], "registered_model=web-yahoo.$"),
    ],
)
def test_data_of_another_kind_are_refused_with_a_free_name(
    client: MlflowClient, name: str, source: str, symbols: list[str], words: str
) -> None:
    with pytest.raises(ParameterError, match=words) as caught:
        check(client, name, source, *symbols)
    assert "\n" not in str(caught.value)
    suggested = re.findall(r"registered_model=([\w-]+)\.$", str(caught.value))[0]
    client.create_registered_model(suggested)
    try:
        with pytest.raises(ParameterError, match=f"registered_model={suggested}-2"):
            check(client, name, source, *symbols)
    finally:
        client.delete_registered_model(suggested)


def test_kind_of_an_earlier_name_is_that_of_its_champions_evaluation(
    client: MlflowClient, tmp_path: Path
) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps({"source": "snapshot"}))
    rows = pd.DataFrame({"symbol": ["AAPL", "IBM"]})
    rows.to_parquet(tmp_path / "holdout_predictions.parquet")
    client.create_registered_model("old")
    names = {"evaluation": "evaluation.json", "predictions": "holdout_predictions.parquet"}
    client.create_model_version("old", tmp_path.as_uri(), tags=names)
    assert kind_of_name(client, "old", tmp_path.joinpath) is None
    client.set_registered_model_alias("old", "champion", "1")
    known = kind_of_name(client, "old", tmp_path.joinpath)
    assert known == DataKind("snapshot", universe_of(["AAPL", "IBM"]))


def test_universe_of_thousands_of_symbols_fits_in_a_tag(client: MlflowClient) -> None:
    client.create_registered_model("many")
    symbols = [f"SYMBOL{number}" for number in range(3000)]
    record_kind(client, "many", DataKind("yahoo", universe_of(symbols)))
    tag = client.get_registered_model("many").tags[TAG_SYMBOLS]
    assert len(tag) <= 5000 and Universe.from_text(tag).count == 3000
    check(client, "many", "yahoo", *symbols[:2000])
    with pytest.raises(ParameterError, match="3000 symbols"):
        check(client, "many", "yahoo", *symbols[:900])
