"""Text files as raw tables: encoding, separator, header, and rows of the right length."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.types as types

from sources.files.archive import GIVE_BARS
from sources.files.location import SourceFile
from sources.files.names import symbol_of
from stockpred.bars.parse import RawTable
from stockpred.bars.parse.columns import column_meaning, may_be_key, may_be_number
from stockpred.bars.parse.raw import BLANKS
from stockpred.bars.parse.wide import split_name
from stockpred.columns import DATE
from stockpred.errors import DataError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
HEAD_BYTES = 1 << 20
UTF_16_SHARE = 0.9  # of the bytes at even, or at odd places that are 0 in Latin text
HEADER_BYTES = 4096  # in which a quote is searched
HEAD_LINES = 30  # in which the header is searched
KNOWN_COLUMNS = 3  # of a line that is taken for the header
BLOCK = 1 << 24  # bytes that are parsed at a time: more than a row
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# A number or a date, and so no name of a field or a symbol.
_VALUE = re.compile(
    r"[-+$€£¥\s]*\d[\d.,' ]*\s*(?:%|[KMBkmb]|\s[A-Z]{3})?|\d{1,4}[-/.]\d{1,2}[-/.].*"
)
_NULLS = [*{case(text) for text in BLANKS for case in (str.lower, str.upper, str.title)}, "NaN"]


@dataclass(frozen=True)
class Layout:
    """How a text is laid out.

    Attributes
    ----------
    separator : str
    names : list
        Names of the columns as written; of two header rows, tuples.
    lines : int
        Lines before the first row of data.
    notes : list of str
    """

    separator: str
    names: list[object]
    lines: int
    notes: list[str] = field(default_factory=list)


def read_text(file: SourceFile) -> RawTable:
    """Read a table of text.

    Parameters
    ----------
    file : SourceFile
        UTF-8, or UTF-16 or UTF-32 with a byte order mark; separated by commas, semicolons, tabs or
        vertical bars; one header row, or two of fields and symbols.

    Returns
    -------
    RawTable
        Columns of numbers are numeric where each cell is plain, else text; keys are text.

    Raises
    ------
    DataError
        The file is no text in these encodings, or a row has more or fewer cells than the header;
        the message has the row.
    """
    content, notes = _to_utf8(file)
    layout = _find_layout(content, file.origin)
    spaced, plain = f'{layout.separator} "'.encode(), f'{layout.separator}"'.encode()
    if spaced in content[:HEADER_BYTES]:  # a quote that Arrow would take for a part of the cell
        content = content.replace(spaced, plain)
        layout = _find_layout(content, file.origin)
    table, rows = _read_cells(content, layout, file.origin, as_text=False)
    numbers = [number for number, name in enumerate(layout.names) if _holds_numbers(name)]
    # A column that is not plain decides how all of them are written, such as with decimal commas.
    if not all(_is_plain(table.column(number).type) for number in numbers):
        table, rows = _read_cells(content, layout, file.origin, as_text=True)
    cells = pd.DataFrame({n: column.to_pandas() for n, column in enumerate(table.columns)})
    cells.columns = pd.Index(layout.names, dtype=object, tupleize_cols=False)
    return RawTable(cells, file.origin, rows, symbol_of(file.name), tuple(notes + layout.notes))


def _to_utf8(file: SourceFile) -> tuple[bytes, list[str]]:
    content = file.content
    subject = f"source={file.origin!r}"
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            try:
                return content.decode(encoding).encode(), [f"the text is {encoding.upper()}"]
            except UnicodeError as error:
                raise DataError(
                    subject,
                    expected=f"{encoding.upper()} text, as its first bytes say",
                    got="other bytes",
                    fix="save it as UTF-8",
                ) from error
    if b"\0" in content:
        head = content[:HEAD_BYTES]
        halves = (head[::2], head[1::2])
        if any(half.count(b"\0") > len(half) * UTF_16_SHARE for half in halves):
            got, fix = "UTF-16 without a byte order mark", "save it as UTF-8"
        else:
            got, fix = "bytes of another format", GIVE_BARS
        raise DataError(subject, expected="Parquet or CSV", got=got, fix=fix)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            subject,
            expected="text in UTF-8",
            got=f"byte 0x{content[error.start]:02x} in line {line}, which is not UTF-8",
            fix="save it as UTF-8",
        ) from error
    return content.removeprefix(b"\xef\xbb\xbf"), []


def _find_layout(content: bytes, origin: str) -> Layout:
    head = content[:HEAD_BYTES].decode("utf-8", errors="ignore")
    lines = re.split(r"\r\n|\r|\n", head)[:HEAD_LINES]
    rated = [
        (_count_known(_split(line, separator)), -number, separator)
        for number, line in enumerate(lines)
        for separator in SEPARATORS
    ]
    known, number, separator = max(rated, key=lambda rating: rating[:2])
    start = -number
    if known < KNOWN_COLUMNS:
        start = next((number for number, line in enumerate(lines) if line.strip()), -1)
        if start < 0:
            raise DataError(
                f"source={origin!r}", expected="a table", got="blank lines", fix=GIVE_BARS
            )
        separator = max(SEPARATORS, key=lines[start].count)
    rows = [_split(line, separator) for line in lines]
    start, end, names = _find_wide_header(rows, start) or (start, start + 1, [*rows[start]])
    notes = []
    if separator != ",":
        notes.append(f"columns are separated by a {SEPARATORS[separator]}")
    preamble = [line for line in lines[:start] if line.strip() and not line.startswith("sep=")]
    if preamble:
        notes.append(f"lines before the header are left out: {len(preamble)}, {preamble[0][:60]!r}")
    following = next((row for row in rows[end:] if any(map(str.strip, row))), [])
    # A comma at the end of each line, in the header or in the rows alone.
    if len(following) == len(names) + 1 and not following[-1].strip():
        names.append("")
    elif len(following) == len(names) - 1 and names[-1] == "":
        names.pop()
    return Layout(separator, names, end, notes)


def _find_wide_header(
    rows: Sequence[Sequence[str]], known: int
) -> tuple[int, int, list[object]] | None:
    """Return first row, end and names of a header of two rows, one of which is row `known`.

    A third row may name the dates alone.
    """
    for upper in (known, known - 1):  # fields above symbols, or symbols above fields
        if upper < 0 or upper + 1 >= len(rows) or not _is_wide_header(*rows[upper : upper + 2]):
            continue
        end = upper + 2
        corners = [rows[upper][0], rows[upper + 1][0]]
        if end < len(rows) and rows[end][0].strip() and not any(map(str.strip, rows[end][1:])):
            corners, end = [rows[end][0]], end + 1
        first = next((name for name in corners if column_meaning(name) == DATE), "")
        return upper, end, [first, *zip(rows[upper][1:], rows[upper + 1][1:], strict=True)]
    return None


def _split(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), []) or [""]
    except csv.Error:  # a cell longer than the library's limit
        return [line]


def _parts(name: object) -> Sequence[str]:
    return split_name(name) or (str(name),)


def _count_known(names: Sequence[str]) -> int:
    meanings = {column_meaning(part) for name in names for part in _parts(name)}
    return len(meanings - {None})


def _holds_numbers(name: object) -> bool:
    return any(map(may_be_number, _parts(name)))


def _is_wide_header(upper: Sequence[str], lower: Sequence[str]) -> bool:
    """Whether two rows name fields and symbols: as many cells, none empty, none a value."""
    if len(upper) != len(lower) or len(upper) < 2:
        return False
    cells = [cell.strip(" \"'") for cell in (*upper[1:], *lower[1:])]
    corners = [row[0].strip(" \"'") for row in (upper, lower)]
    if any(map(_VALUE.fullmatch, [*cells, *corners])) or any(c.lower() in BLANKS for c in cells):
        return False
    is_repeated = len(set(zip(upper[1:], lower[1:], strict=True))) < len(upper) - 1
    return any(map(_holds_numbers, cells)) and not is_repeated


def _is_plain(kind: pa.DataType) -> bool:
    return types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind)


def _read_cells(
    content: bytes, layout: Layout, origin: str, *, as_text: bool
) -> tuple[pa.Table, np.ndarray]:
    """Parse the rows below the header; columns are named by their positions."""
    blank: list[int] = []
    wrong: list[pacsv.InvalidRow] = []

    def handle(row: pacsv.InvalidRow) -> str:
        if not row.text.strip(f'{layout.separator}" \t'):
            blank.append(row.number)
            return "skip"
        wrong.append(row)
        return "error"

    texts = {
        str(number): pa.string()
        for number, name in enumerate(layout.names)
        if any(map(may_be_key, _parts(name))) or (as_text and _holds_numbers(name))
    }
    try:
        table = pacsv.read_csv(
            pa.BufferReader(content),
            pacsv.ReadOptions(
                use_threads=False,  # else rows have no number
                block_size=BLOCK,
                skip_rows=layout.lines,
                column_names=[str(number) for number in range(len(layout.names))],
            ),
            pacsv.ParseOptions(
                delimiter=layout.separator, ignore_empty_lines=False, invalid_row_handler=handle
            ),
            pacsv.ConvertOptions(
                column_types=texts, null_values=_NULLS, true_values=[], false_values=[]
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error) or "Could not skip" in str(error):  # no row at all
            empty = {str(number): pa.array([], pa.string()) for number in range(len(layout.names))}
            return pa.table(empty), np.array([], dtype=np.int64)
        raise _no_rows(wrong, layout, origin, error) from error
    first = layout.lines + 1
    rows = np.arange(first, first + table.num_rows + len(blank))
    return table, np.delete(rows, np.array(blank, dtype=np.int64) - first)


def _no_rows(
    wrong: Sequence[pacsv.InvalidRow], layout: Layout, origin: str, error: Exception
) -> DataError:
    if not wrong:
        reason = " ".join(str(error).split()).rstrip(".")
        return DataError(
            f"source={origin!r}", expected="a table", got=f"none ({reason})", fix=GIVE_BARS
        )
    row, count = wrong[0], len(layout.names)
    pattern = "the header" if layout.names[-1] else "the first row"  # with a comma at its end
    fix = "correct or remove this row"
    if '"' in row.text and "\n" in row.text:
        fix = "close the quote in this row"
    elif row.actual_columns > count and layout.separator == ",":
        fix += "; a cell with a comma in it needs quotes around it"
    return DataError(
        f"{origin}, row {row.number}",
        expected=f"{count} cells, as {pattern} has",
        got=f"{row.actual_columns}",
        fix=fix,
    )
