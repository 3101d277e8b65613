"""Bad files and unknown symbols: reported with row and value before the work that they spoil."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.parquet import write_groups
from stockpred.bars.schema import BarsInfo, to_arrow
from stockpred.errors import StockpredError
from tests.support.data.bars import make_bars
from tests.support.runs.refused_commands import run_refused, started_steps

pytestmark = pytest.mark.run
CSV_HEAD = "date,symbol,open,high,low,close,volume\n"


def write(path: Path, kind: str) -> None:
    rows = "".join(f"2012-01-{d:02d},AAA,1,2,0.5,1,10\n" for d in range(2, 30))
    content = {
        "empty": "",
        "header only": CSV_HEAD,
        "text in a price": CSV_HEAD + "2012-01-02,AAA,1,2,0.5,1,10\n2012-01-03,AAA,1,2,x,1,10\n",
        "bad date": CSV_HEAD + "2012-01-02,AAA,1,2,0.5,1,10\n2012-02-31,AAA,1,2,0.5,1,10\n",
        "no close": CSV_HEAD.replace(",close", "") + "2012-01-02,AAA,1,2,0.5,10\n",
        "negative": CSV_HEAD + rows.replace("AAA,1,2,0.5,1", "AAA,-1,-0.5,-2,-1"),
        "too short": CSV_HEAD + rows,
    }
    path.write_text(content[kind])


BAD_FILES = [
    ("empty", "got an empty file"),
    ("header only", "got no rows"),
    ("text in a price", "row 3, column 'low': expected a number, got 'x'"),
    (
        "bad date",
        "row 3, column 'date': expected a session's date such as 2012-12-31, got '2012-02-31'",
    ),
    ("no close", "column 'close': expected columns"),
]


@pytest.mark.parametrize(("kind", "words"), BAD_FILES)
def test_bad_file_is_reported_with_row_and_value(kind: str, words: str, tmp_path: Path) -> None:
    from sources import open_source

    write(tmp_path / "bars.csv", kind)
    with pytest.raises(StockpredError) as caught:
        source = open_source(str(tmp_path / "bars.csv"), tmp_path)
        source.digest()
        source.read(None, None, None)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_binary_file_that_is_no_table_is_reported(tmp_path: Path) -> None:
    from sources import open_source
    from stockpred.errors import DataError

    for name, content in (("x.csv", bytes(range(256))), ("x.parquet", b"PAR1" + bytes(100))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"^source='{name}': .* got (bytes of|a dam)"):
            open_source(name, tmp_path).read(None, None, None)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="column 'date': expected columns"):
        open_source("other.parquet", tmp_path).read(None, None, None)


@pytest.mark.parametrize(
    ("kind", "words", "last_child"),
    [
        ("text in a price", "acquire: ", "acquire"),
        ("negative", "validate: max_missing=0.05: expected at most 0 of 1 symbols", "validate"),
        pytest.param("too short", "validate: max_missing=", "validate", marks=pytest.mark.long),
    ],
)
def test_bad_data_fails_the_step_that_detects_it(
    root: Path, store: Path, tmp_path: Path, kind: str, words: str, last_child: str
) -> None:
    write(tmp_path / "bars.csv", kind)
    line = run_refused(root, store, "--source", str(tmp_path / "bars.csv"))
    assert line.startswith(words) and "finished steps are reused" in line
    assert started_steps(store)[-1] == last_child


def test_symbol_missing_in_the_source_is_reported_with_a_suggestion(
    root: Path, store: Path
) -> None:
    before = started_steps(store)
    line = run_refused(root, store, "--symbols", "AAPL,APPL")
    assert "symbols='APPL': " in line and "AAPL, FB, GOOG, IBM, MSFT" in line
    assert "Fix: use AAPL" in line
    assert started_steps(store) == before, "refused before a run"


def test_missing_input_is_reported_with_its_absolute_path(root: Path, store: Path) -> None:
    line = run_refused(root, store, "--bars", "none.parquet", module="validate")
    assert f"'none.parquet': no such file ({root / 'none.parquet'})" in line


def test_features_of_bars_with_long_gaps_everywhere_are_refused(
    root: Path, store: Path, tmp_path: Path
) -> None:
    bars = to_arrow(make_bars(3000).iloc[::15])  # three weeks apart
    info = BarsInfo("made", "as made", {"AAA": "union"})
    write_groups(tmp_path / "bars.parquet", [bars], info.to_metadata)
    line = run_refused(root, store, "--bars", str(tmp_path / "bars.parquet"), module="features")
    assert "expected 61 sessions of a symbol without a gap of more than 14 days" in line


@pytest.mark.parametrize(
    "module", ["validate", "score", pytest.param("monitor", marks=pytest.mark.long)]
)
def test_raw_bars_in_the_place_of_an_artifact_are_refused_before_the_work(
    root: Path, store: Path, tmp_path: Path, module: str
) -> None:
    path = tmp_path / "raw.csv"
    write(path, "too short")
    words = ("--bars", str(path), *(("--ledger", str(tmp_path)) if module == "monitor" else ()))
    line = run_refused(root, store, *words, module=module, code=1)
    # The store has no model, which the steps that need one would report next.
    kind = "acquire or validate" if module == "validate" else "validate"
    assert line.startswith(f"bars='{path}': expected bars.parquet of {kind}, got ")
    assert "a file of your own as source= (of main" in line
