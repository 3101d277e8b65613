"""Types of parameters beside click's own: symbols, URIs, dates, instants, a word or a number."""

import codecs
import datetime as dt
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from pipeline.log.redact import redact_urls
from pipeline.parallel.address import EXTRA, LOCAL, SCHEMES, missing_package

ROOT = Path(__file__).resolve().parents[2]
MAX_SYMBOLS_FILE = 1 << 20  # bytes
MAX_SYMBOL = 200  # characters
DATE_FORMAT = "%Y-%m-%d"
# Over http(s) a user alone may be a token; elsewhere it is a name, or Azure's container.
_USER_ALONE = re.compile(r"(?i)^((?!https?:)[a-z][a-z0-9+.-]*://)[^\s/?#:@]+@")


class Refused(click.BadParameter):
    """A value that a type of this module refuses.

    Parameters
    ----------
    got : str
        What was found, where the value itself does not show it.
    fix : str, optional
        An imperative, where "give one such as <default>" does not help.
    """

    def __init__(self, got: str, fix: str = "") -> None:
        super().__init__(got)
        self.fix = fix


class Own(click.ParamType[Any]):
    """A type of this module: `expected` says in a few words what it accepts."""

    expected = "text"


def expected_by(kind: "click.ParamType[Any]") -> str:
    """Describe the values that a type accepts, such as ``a whole number from 1 to 252``."""
    if isinstance(kind, Own):
        return kind.expected
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(map(str, kind.choices))}"
    if isinstance(kind, click.IntRange):
        low, high = kind.min, kind.max
        return "a whole number " + (
            f"of at least {low}" if high is None else f"from {low} to {high}"
        )
    if isinstance(kind, click.FloatRange):
        above = "above " if kind.min_open else "from "
        below = "below " if kind.max_open else ""
        joint = "and" if kind.min_open else "to"
        return f"a number {above}{kind.min:g} {joint} {below}{kind.max:g}"
    return str(kind.name)


class Number(click.FloatRange):
    """A finite number in a range: click's own range lets NaN through."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert the text and refuse NaN."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            raise Refused(repr(value))
        return number


class Or(Own):
    """Another type, and one word that becomes None.

    Parameters
    ----------
    word : str
        Such as ``all`` or ``none``.
    kind : click.ParamType
        The type of every other text.
    """

    def __init__(self, word: str, kind: "click.ParamType[Any]") -> None:
        self.name, self.word, self.kind = kind.name, word, kind
        self.expected = f"{expected_by(kind)}, or {word}"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Return None for the word, else what the other type makes of the text."""
        return None if value == self.word else self.kind.convert(value, param, ctx)


class Names(Own):
    """A comma-separated list of registered names, in the given order, without repeats.

    Parameters
    ----------
    names : sequence of str
    missing_extra : callable, optional
        Name -> what it needs that is not installed, or None.
    """

    name = "names"

    def __init__(
        self, names: Sequence[str], missing_extra: Callable[[str], str | None] = lambda name: None
    ) -> None:
        self.names, self.missing_extra = tuple(names), missing_extra
        self.expected = f"a comma-separated list out of {', '.join(names)}"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split the text and look each name up."""
        chosen = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        for name in chosen:
            if name not in self.names:
                raise Refused(f"{name!r}, which is none of them")
        for name in chosen:
            if lack := self.missing_extra(name):
                raise Refused(lack, f"install it, or leave {name} out")
        return chosen


class Flag(Own):
    """One of two words, the second of which is True.

    Parameters
    ----------
    off, on : str
    """

    def __init__(self, off: str, on: str) -> None:
        self.values = {off: False, on: True}
        self.name, self.expected = f"{off}|{on}", f"one of {off}, {on}"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        """Look the word up."""
        if value not in self.values:
            raise Refused(repr(value))
        return self.values[value]


class Date(Own):
    """An ISO date."""

    name, expected = "date", "an ISO date such as 2012-12-31"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.date:
        """Parse the text."""
        return click.DateTime([DATE_FORMAT]).convert(value, param, ctx).date()


class DateSpan(Own):
    """First and last date, both included, as ``FROM:TO``; ``all`` is every date there is."""

    name, expected = "dates", "all, or FROM:TO such as 2012-01-01:2012-12-31"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[dt.date, dt.date]:
        """Parse both dates and compare them."""
        if value == "all":
            return dt.date.min, dt.date.max
        first, colon, last = value.partition(":")
        if not colon:
            raise Refused(repr(value))
        span = Date().convert(first, param, ctx), Date().convert(last, param, ctx)
        if span[1] < span[0]:
            raise Refused(f"{span[1]}, which is before {span[0]}", "give the earlier date first")
        return span


class Instant(Own):
    """An instant with a time zone, in UTC."""

    name, expected = "instant", "an instant such as 2024-06-28T21:00Z"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.datetime:
        """Parse the text; the year must be one that pandas and exchanges know."""
        try:
            instant = dt.datetime.fromisoformat(value)
        except ValueError as error:
            raise Refused(repr(value)) from error
        if instant.tzinfo is None:
            raise Refused("one without a time zone", "end it with Z for UTC")
        if not 1900 <= instant.year < 2200:
            raise Refused(f"the year {instant.year}", "give a year from 1900 to 2199")
        return instant.astimezone(dt.UTC)


class Symbols(Own):
    """Symbols, trimmed, upper-cased, without repeats; ``@file`` is read, one symbol a line.

    As in a file of bars, a symbol may have any printed character: what a source cannot take the
    source itself refuses.
    """

    name, expected = "symbols", "a comma-separated list such as AAPL,MSFT, or @file"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split the text or read the file, and check each symbol."""
        parts = _lines(ROOT / value[1:]) if value.startswith("@") else value.split(",")
        symbols = tuple(dict.fromkeys(part.strip().upper() for part in parts))
        if not symbols:
            raise Refused("an empty list")
        for symbol in symbols:
            has_control = any(unicodedata.category(letter) == "Cc" for letter in symbol)
            if not symbol or len(symbol) > MAX_SYMBOL or has_control:
                raise Refused(
                    f"{symbol!r}, which is no symbol",
                    f"give symbols of 1 to {MAX_SYMBOL} characters, in one line",
                )
        return symbols


def _lines(path: Path) -> list[str]:
    """Read the symbols of a file, without its blank lines and comments (``# ...``)."""
    where, fix = path.absolute(), "give a text file in UTF-8 with one symbol a line"
    try:
        if not path.is_file():
            raise Refused(f"no file {where}", fix)
        if path.stat().st_size > MAX_SYMBOLS_FILE:
            raise Refused(f"more than 1 MiB in {where}", fix)
        content = path.read_bytes()
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise Refused(f"other text than UTF-8 in line {row} of {where}", fix) from error
    except OSError as error:
        raise Refused(f"{error.strerror} on reading {where}", fix) from error
    if "\0" in text:  # UTF-16 without a byte-order mark, or no text
        raise Refused(f"zero bytes in {where}", fix)
    lines = text.splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


class Location(Own):
    """A path or URI in one line, without a password or token.

    Parameters
    ----------
    expected : str, optional
        What is expected there.
    """

    name = "uri"

    def __init__(self, expected: str = "a path or URI") -> None:
        self.expected = expected

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the text and return it as it is."""
        if not value.strip():
            raise Refused(repr(value))
        if "\0" in value or "\n" in value:
            raise Refused("more than one line", "give a path or URI in one line")
        try:
            urlsplit(value)
        except ValueError as error:  # a bracket in the place of the address
            raise Refused(f"no URI: {error}") from error
        plain = _USER_ALONE.sub(r"\1", value)
        if redact_urls(plain) != plain:
            raise Refused(
                "a password or a token in it, which every run would store and show",
                "give these in the environment, or fetch the file first and give its path",
            )
        return str(value)


class Engine(Own):
    """``local``, or the address of a Dask scheduler."""

    name, expected = "engine", "local, tcp://host:port or tls://host:port"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the form of the address, and that the package is installed which connects."""
        if value != LOCAL:
            parts = urlsplit(value)
            rest = parts.path + parts.query + parts.fragment
            if parts.scheme not in SCHEMES or not parts.hostname or rest or "@" in parts.netloc:
                raise Refused(repr(value))
            try:
                port = parts.port
            except ValueError as error:
                raise Refused(str(error)) from error
            if not port:
                raise Refused("an address without a port", f"give one such as {value}:8786")
            if lack := missing_package(value):
                raise Refused(lack, f"install it: uv sync --extra {EXTRA}")
        return value


class Text(Own):
    """A text that fulfils a condition.

    Parameters
    ----------
    is_right : callable
        Text -> bool.
    expected : str
        The condition in words.
    """

    name = "text"

    def __init__(self, is_right: Callable[[str], Any], expected: str) -> None:
        self.is_right, self.expected = is_right, expected

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the text and return it as it is."""
        if not self.is_right(value):
            raise Refused(repr(value))
        return str(value)
