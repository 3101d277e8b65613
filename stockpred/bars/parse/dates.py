"""Dates of sessions, in the forms that people write them."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Dates
from stockpred.bars.parse.raw import RawTable, cell_text, show_value
from stockpred.columns import DATE
from stockpred.errors import DataError

EXPECTED = "a session's date such as 2012-12-31"
_DAILY = "give daily bars, one row a session with its full date"
_WRITE = "write each date such as 2012-12-31, or remove this row"
_CLOCK = r"(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AP]M)?)"
_ZONE = r"\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}(?::?\d{2})?)?"
_TAIL = rf"(?:(?:T|\s+){_CLOCK}{_ZONE})?"
_YEAR_FIRST = re.compile(rf"(?P<y>\d{{4}})([-/.])(?P<m>\d{{1,2}})\2(?P<d>\d{{1,2}}){_TAIL}")
_COMPACT = re.compile(rf"(?P<y>\d{{4}})(?P<m>\d{{2}})(?P<d>\d{{2}}){_TAIL}")
_YEAR_LAST = re.compile(rf"(?P<a>\d{{1,2}})([-/.])(?P<b>\d{{1,2}})\2(?P<y>\d{{4}}),?{_TAIL}")
_MONTH_NAMES = ("%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%d-%b-%y")
# Texts that are no date of a session, and what they look like.
_OTHERS = (
    (re.compile(r"\d{4}"), "a year"),
    (re.compile(r"\d{4}[-/.M]\d{1,2}|\d{1,2}[-/.]\d{4}|[A-Za-z]{3,9}[ -]\d{4}"), "a month"),
    (re.compile(r"\d{4}-?[Qq]\d"), "a quarter"),
    (re.compile(r"\d{4}-?W\d{2}"), "a week"),
    (re.compile(r"\d{10}"), "seconds since 1970"),
    (re.compile(r"\d{13}"), "milliseconds since 1970"),
    (re.compile(r"\d{16}"), "microseconds since 1970"),
    (re.compile(r"[2-6]\d{4}"), "a spreadsheet's number of a day"),
)


Refuse = Callable[[int, str, str], DataError]  # position, what to add to the value, fix


class _NoDateError(ValueError):
    """Why a text is no date, and what to do."""

    def __init__(self, got: str = "", fix: str = "") -> None:
        super().__init__(got)
        self.got, self.fix = got, fix


def parse_dates(cells: pd.Series, table: RawTable) -> Dates:
    """Parse a column of dates.

    Each cell's own local date counts, whatever its offset from UTC. A column holds one form: year
    first (2012-12-31, 2012/12/31, 20121231), day or month first (where the column leaves no doubt),
    or with the month's name.

    Parameters
    ----------
    cells : Series, shape (rows,)
        Text, whole numbers such as 20121231, or instants.
    table : RawTable
        The table of the cells, for messages.

    Returns
    -------
    array of datetime64[s], shape (rows,)
        At midnight; never NaT.

    Raises
    ------
    DataError
        A cell is no date of a session: empty, a month, a time of day, or in doubt between day and
        month; the message has row and value.
    """

    def refuse(position: int, got: str = "", fix: str = "") -> DataError:
        got = show_value(cells.iloc[position]) + got
        return table.bad_cell(position, DATE, EXPECTED, fix=fix or _WRITE, got=got)

    if pd.api.types.is_datetime64_any_dtype(cells):
        return _from_instants(cells, refuse)
    codes, texts = _distinct_texts(cells)
    if (codes < 0).any():
        raise refuse(int(np.argmax(codes < 0)))
    parse = _choose_form(texts)
    parsed: list[tuple[dt.date, bool]] = []
    for number, text in enumerate(texts):
        try:
            parsed.append(parse(text))
        except ValueError as error:
            reason = error if isinstance(error, _NoDateError) else _NoDateError()
            raise refuse(int(np.argmax(codes == number)), reason.got, reason.fix) from None
    days = np.array([date for date, _ in parsed], dtype="datetime64[s]")
    for number, (_, has_time) in enumerate(parsed):
        if has_time:
            raise _time_of_day(days, number, int(np.argmax(codes == number)), refuse)
    return days[codes]


def _distinct_texts(cells: pd.Series) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return the number of each cell's text among the distinct ones (-1: empty), and these."""
    codes, values = pd.factorize(cells)
    texts = [cell_text(value) for value in values]
    codes[np.isin(codes, [number for number, text in enumerate(texts) if not text])] = -1
    return codes, texts


def _choose_form(texts: Sequence[str]) -> Callable[[str], tuple[dt.date, bool]]:
    """Return the function that parses a column of texts, chosen by its first one."""
    first = texts[0] if texts else ""
    if _YEAR_LAST.fullmatch(first):
        return _year_last_form(texts)
    if any(_strptime(first, form) for form in _MONTH_NAMES):
        return _with_month_name
    return _year_first


def _with_month_name(text: str) -> tuple[dt.date, bool]:
    """Parse a date that one form alone fits, so that May, short and long, may be beside June."""
    date = next(filter(None, (_strptime(text, form) for form in _MONTH_NAMES)), None)
    if date is None:
        raise _NoDateError()
    return date, False


def _strptime(text: str, form: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(text, form).date()
    except ValueError:
        return None


def _year_first(text: str) -> tuple[dt.date, bool]:
    match = _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text)
    if not match:
        for pattern, name in _OTHERS:
            if pattern.fullmatch(text):
                is_period = name.split()[-1] in ("year", "month", "quarter", "week")
                fix = _DAILY if is_period else _WRITE
                raise _NoDateError(f", which looks like {name}", fix)
        raise _NoDateError()
    return _date(match, "m", "d")


def _year_last_form(texts: Sequence[str]) -> Callable[[str], tuple[dt.date, bool]]:
    matches = [match for text in texts if (match := _YEAR_LAST.fullmatch(text))]
    pairs = [(int(match["a"]), int(match["b"])) for match in matches]
    is_day_first = any(a > 12 for a, _ in pairs)
    is_month_first = any(b > 12 for _, b in pairs)
    if all(a == b for a, b in pairs):
        is_day_first = True  # the same date either way

    def parse(text: str) -> tuple[dt.date, bool]:
        match = _YEAR_LAST.fullmatch(text)
        if not match:
            raise _NoDateError()
        if is_day_first == is_month_first:
            reason = "both orders occur" if is_day_first else "no number above 12 settles it"
            raise _NoDateError(
                f", in which day and month may be either way round ({reason})",
                "write dates as 2012-12-31",
            )
        return _date(match, *(("b", "a") if is_day_first else ("a", "b")))

    return parse


def _date(match: "re.Match[str]", month: str, day: str) -> tuple[dt.date, bool]:
    date = dt.date(int(match["y"]), int(match[month]), int(match[day]))
    time = re.sub(r"^12(?=.*AM)", "0", match["time"] or "")  # midnight
    return date, re.search(r"[1-9]", time) is not None


def _from_instants(cells: pd.Series, refuse: Refuse) -> Dates:
    local = cells.dt.tz_localize(None) if cells.dt.tz is not None else cells
    if (empty := local.isna().to_numpy()).any():
        raise refuse(int(np.argmax(empty)), "", "")
    days = local.dt.normalize()
    if (timed := (local != days).to_numpy()).any():
        position = int(np.argmax(timed))
        raise _time_of_day(days.to_numpy(), position, position, refuse)
    return days.to_numpy().astype("datetime64[s]")


def _time_of_day(days: Dates, number: int, position: int, refuse: Refuse) -> DataError:
    """Return the error of a date with a time: a bar within the day, or an instant of a session."""
    if np.count_nonzero(days == days[number]) > 1:
        looks = ", one of several times of this day: these look like intraday bars"
        return refuse(position, looks, "aggregate them to one bar a session")
    return refuse(position, ", with a time of day", "write each session's local date alone")
