"""Several files as one source: folders, patterns, archives."""

import bz2
import gzip
import io
import lzma
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.files import FileSource
from stockpred.errors import DataError, ParameterError, StockpredError
from tests.support.data.bars import make_bars

AAPL = make_bars(9, "AAPL").to_csv(index=False)
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def _zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("AAPL.csv", AAPL)
    return packed.getvalue()


ZIPPED = _zipped()
PARQUET = make_bars(9, "AAPL").to_parquet()


def write_symbols(folder: Path, **kinds: str) -> pd.DataFrame:
    """Write a file without symbols for each symbol; return the bars of all."""
    folder.mkdir(exist_ok=True)
    tables = []
    for seed, (symbol, ending) in enumerate(kinds.items()):
        bars = make_bars(9, symbol, seed)
        content = bars.drop(columns="symbol")
        path = folder / f"{symbol}.{ending}"
        if "parquet" in ending:
            content.to_parquet(path)
        else:
            content.to_csv(path, index=False)
        tables.append(bars)
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize("source", ["bars/", "bars", "bars/*", "file"])
def test_folder_gives_the_bars_of_its_files(source: str, tmp_path: Path) -> None:
    bars = write_symbols(tmp_path / "bars", AAA="csv", BBB="parquet", CCC="csv.gz", DDD="txt")
    uri = (tmp_path / "bars").as_uri() if source == "file" else source
    fetched = FileSource(uri, tmp_path).read(None, None, None)
    pd.testing.assert_frame_equal(fetched.bars, bars)
    assert fetched.report["notes"] == [
        "no column holds symbols, file names are taken for them: AAA, BBB, CCC, DDD"
    ]


def test_pattern_leaves_other_files_out(tmp_path: Path) -> None:
    bars = write_symbols(tmp_path / "bars", AAA="csv", BBB="csv")
    write_symbols(tmp_path / "bars", CCC="parquet")
    fetched = FileSource("bars/*.csv", tmp_path).read(None, None, None)
    pd.testing.assert_frame_equal(fetched.bars, bars)


def test_zip_gives_the_bars_of_its_files(tmp_path: Path) -> None:
    bars = write_symbols(tmp_path / "bars", AAA="csv", BBB="parquet")
    with zipfile.ZipFile(tmp_path / "bars.zip", "w") as archive:
        for path in sorted((tmp_path / "bars").iterdir()):
            archive.write(path, f"daily/{path.name}")
        archive.writestr("__MACOSX/._AAA.csv", "x")
        archive.writestr("README.txt", "x")
    fetched = FileSource("bars.zip", tmp_path).read(None, None, None)
    pd.testing.assert_frame_equal(fetched.bars, bars)
    assert fetched.report["notes"][-1] == "files left out: __MACOSX/._AAA.csv, README.txt"


def test_folder_notes_files_that_are_not_read(tmp_path: Path) -> None:
    write_symbols(tmp_path / "bars", AAA="csv")
    (tmp_path / "bars" / "notes.docx").write_text("x")
    (tmp_path / "bars" / "BBB.csv").touch()
    (tmp_path / "bars" / "old").mkdir()
    fetched = FileSource("bars", tmp_path).read(None, None, None)
    assert fetched.report["notes"][-1] == "files left out: notes.docx, old, BBB.csv (empty)"


def test_note_of_some_files_names_one_of_them(tmp_path: Path) -> None:
    write_symbols(tmp_path / "bars", AAA="csv", BBB="csv")
    make_bars(5).drop(columns=["symbol", "adj_close"]).to_csv(tmp_path / "bars" / "CCC.csv")
    report = FileSource("bars/", tmp_path).read(None, None, None).report
    assert not report["adj_close"]
    assert report["notes"][0] == "adj_close is missing: close is used for it (bars/CCC.csv)"


def test_error_names_file_and_row_in_the_folder(tmp_path: Path) -> None:
    write_symbols(tmp_path / "bars", AAA="csv", BBB="csv")
    path = tmp_path / "bars" / "BBB.csv"
    lines = path.read_text().splitlines()
    lines[4] = "2010-01-07,x" + lines[4][lines[4].index(",", 12) :]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"^bars/BBB\.csv, row 5, column 'open': .* got 'x"):
        FileSource("bars/*.csv", tmp_path).read(None, None, None)


def test_symbol_in_two_files_is_joined_and_identical_rows_are_one_bar(tmp_path: Path) -> None:
    bars = make_bars(9)
    (tmp_path / "bars").mkdir()
    bars[:6].to_csv(tmp_path / "bars" / "b.csv", index=False)
    bars[4:].to_csv(tmp_path / "bars" / "a.csv", index=False)
    fetched = FileSource("bars", tmp_path).read(None, None, None)
    pd.testing.assert_frame_equal(fetched.bars, bars)
    assert fetched.report["repeated_rows"] == 2 and fetched.report["conflicting_sessions"] == 0


def test_sessions_that_differ_between_files_are_kept_and_named(tmp_path: Path) -> None:
    bars = make_bars(9)
    (tmp_path / "bars").mkdir()
    bars[:6].to_csv(tmp_path / "bars" / "a.csv", index=False)
    bars[5:].assign(close=1.0).to_csv(tmp_path / "bars" / "b.csv", index=False)
    fetched = FileSource("bars", tmp_path).read(None, None, None)
    assert len(fetched.bars) == 10 and fetched.report["conflicting_sessions"] == 1
    [note] = [note for note in fetched.report["notes"] if "differ" in note]
    assert "AAA on 2010-01-11 (bars/a.csv, row 7; bars/b.csv, row 2)" in note


def test_two_spellings_of_a_symbol_in_two_files_are_refused(tmp_path: Path) -> None:
    write_symbols(tmp_path / "bars", BCPC="csv", BCpC="csv")
    with pytest.raises(DataError, match=r"'BCPC' \(bars/BCPC\.csv.* 'BCpC' \(bars/BCpC\.csv"):
        FileSource("bars", tmp_path).read(None, None, None)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("none/", "expected a file of bars, got no such file ("),
        ("none/*.csv", "expected files of this pattern, got none ("),
        ("bars/*.doc", "expected files of this pattern, got none ("),
        ("empty", "expected files of bars (.csv, .txt, .parquet, .zip, .gz), got none ("),
        ("empty", "Fix: give a folder that has some."),
        ("texts", "holds a.doc"),
        ("blank", "got an empty file"),
    ],
)
def test_source_without_a_file_is_refused(source: str, words: str, tmp_path: Path) -> None:
    write_symbols(tmp_path / "bars", AAA="csv")
    for name in ("empty", "texts", "blank"):
        (tmp_path / name).mkdir()
    (tmp_path / "texts" / "a.doc").write_text("x")
    (tmp_path / "blank" / "a.csv").touch()
    with pytest.raises(StockpredError) as caught:
        FileSource(source, tmp_path).digest()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_digest_covers_names_and_bytes_of_all_files(tmp_path: Path) -> None:
    write_symbols(tmp_path / "bars", AAA="csv", BBB="csv")
    folder = tmp_path / "bars"
    digests = [FileSource("bars", tmp_path).digest()]
    assert FileSource("bars/*", tmp_path).digest() == digests[0]
    (folder / "BBB.csv").rename(folder / "CCC.csv")
    digests.append(FileSource("bars", tmp_path).digest())
    (folder / "CCC.csv").write_text((folder / "CCC.csv").read_text() + "\n")
    digests.append(FileSource("bars", tmp_path).digest())
    write_symbols(folder, DDD="csv")
    digests.append(FileSource("bars", tmp_path).digest())
    assert len(set(digests)) == 4


def test_files_over_the_limit_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_symbols(tmp_path / "bars", AAA="csv", BBB="csv", CCC="csv")
    size = (tmp_path / "bars" / "AAA.csv").stat().st_size
    monkeypatch.setattr("sources.files.limits.MAX_BYTES", 2 * size)
    with pytest.raises(ParameterError, match=f"at most {2 * size:,} bytes, got"):
        FileSource("bars", tmp_path).read(None, None, None)


def test_archive_in_itself_is_refused(tmp_path: Path) -> None:
    content = b"x"
    for _ in range(5):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a.zip", content)
        content = packed.getvalue()
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="at most 3 archives within each other"):
        FileSource("a.zip", tmp_path).read(None, None, None)


def test_zip_that_unpacks_over_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", bytes(3 << 20))
    assert (tmp_path / "a.zip").stat().st_size < 1 << 14
    monkeypatch.setattr("sources.files.limits.MAX_BYTES", 1 << 20)
    with pytest.raises(ParameterError, match="1,048,576 bytes, got 1,048,577 unpacked, or more"):
        FileSource("a.zip", tmp_path).read(None, None, None)


@pytest.mark.parametrize(("ending", "pack"), PACKERS.items(), ids=list(PACKERS))
def test_packed_file_is_read_by_its_bytes_whatever_its_name(
    ending: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    packed = pack(AAPL.encode())
    for name, content in ((f"AAPL.csv{ending}", packed), ("AAPL.csv", packed)):
        (tmp_path / name).write_bytes(content)
        assert FileSource(name, tmp_path).read(None, None, None).report["rows"] == 9
    (tmp_path / f"plain.csv{ending}").write_bytes(AAPL.encode())
    assert FileSource(f"plain.csv{ending}", tmp_path).read(None, None, None).report["rows"] == 9
    (tmp_path / f"cut.csv{ending}").write_bytes(packed[:-9])
    with pytest.raises(DataError, match="got a damaged one"):
        FileSource(f"cut.csv{ending}", tmp_path).read(None, None, None)


def test_pattern_leaves_hidden_files_out(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(AAPL)
    (tmp_path / "._AAPL.csv").write_bytes(b"\0\1\2")
    report = FileSource("*.csv", tmp_path).read(None, None, None).report
    assert list(report["symbols"]) == ["AAPL"]


@given(data=st.data())
@settings(max_examples=60)
def test_damaged_zip_or_parquet_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([ZIPPED, PARQUET])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(content)
        try:
            FileSource(str(path), Path(folder)).read(None, None, None)
        except StockpredError as error:
            assert "\n" not in str(error)
