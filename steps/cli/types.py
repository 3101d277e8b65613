"""Types of parameters: each turns a text into a value, or says in one line what would be right."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from pipeline.log.redact import redact_urls

ROOT = Path(__file__).resolve().parents[2]
MAX_SYMBOLS_FILE = 1 << 20  # bytes


class Checked(click.ParamType[Any]):
    """A parameter's type: turns its text into a value, or says what is wrong in one line."""

    name = "text"

    def __init__(self, convert: Callable[[str], Any], rule: str) -> None:
        self._convert = convert
        self.rule = rule

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the text, keeping it beside the value: MLflow hands texts on, keys use values."""
        if not isinstance(value, str):
            return value
        name = str(param.name) if param else "value"
        if ctx is not None:
            ctx.meta.setdefault("texts", {})[name] = value
        try:
            return self._convert(value)
        except ValueError as error:
            reason = f" ({_short(str(error), 300)})" if isinstance(error, Detail) else ""
            raise OptionError(name, value, self.rule + reason) from error

    def or_none(self) -> "Checked":
        """The same, and None for the word ``none``."""
        return Checked(
            lambda text: None if text == "none" else self._convert(text), f"{self.rule}, or none"
        )


class Detail(ValueError):
    """What of a rule was broken, where the rule alone does not tell."""


class OptionError(click.UsageError):
    """One line: parameter, value, rule, way out."""

    def __init__(self, name: str, value: str, rule: str) -> None:
        super().__init__(f"{name}={_short(value, 80)!r}: {rule}")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def whole(low: int, high: int | None = None) -> Checked:
    """A whole number in a range, both ends included."""
    return Checked(lambda text: _whole(text, low, high), _range(low, high))


def whole_or(word: str, low: int, high: int | None = None) -> Checked:
    """A whole number in a range, both ends included, or None for the given word."""
    return Checked(
        lambda text: None if text == word else _whole(text, low, high),
        f"{_range(low, high)}, or {word}",
    )


def _whole(text: str, low: int, high: int | None) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise ValueError
    value = int(text)
    if value < low or (high is not None and value > high):
        raise ValueError
    return value


def _range(low: int, high: int | None) -> str:
    span = f"from {low} to {high}" if high is not None else f"of at least {low}"
    return f"give a whole number {span}"


def share(low: float, high: float, *, with_low: bool, rule: str) -> Checked:
    """A finite number in a range without its upper end."""

    def convert(text: str) -> float:
        value = float(text)
        if not (low <= value if with_low else low < value) or not value < high:
            raise ValueError
        return value

    return Checked(convert, rule)


def one_of(*names: str) -> Checked:
    """One of a few words."""

    def convert(text: str) -> str:
        if text not in names:
            raise ValueError
        return text

    return Checked(convert, f"choose one of {', '.join(names)}")


def some_of(
    names: Sequence[str], missing_extra: Callable[[str], str | None] = lambda name: None
) -> Checked:
    """A comma-separated list of registered names, in the given order, without repeats.

    `missing_extra` says what a name needs that is not there.
    """

    def convert(text: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise Detail(f"{unknown[0]!r} is none of them")
        for name in chosen:
            if lack := missing_extra(name):
                raise Detail(lack)
        return chosen

    return Checked(convert, f"give a comma-separated list out of {', '.join(names)}")


def date_or(word: str) -> Checked:
    """An ISO date, or None for the given word."""

    def convert(text: str) -> dt.date | None:
        if text == word:
            return None
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError
        return dt.date.fromisoformat(text)

    return Checked(convert, f"give a date such as 2012-12-31, or {word}")


def dates_asked(text: str) -> tuple[dt.date, dt.date] | None:
    """First and last date, both included; None for ``last``, all there are for ``all``."""
    if text == "last":
        return None
    if text == "all":
        return dt.date.min, dt.date.max
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}:\d{4}-\d{2}-\d{2}", text):
        raise ValueError
    first, last = (dt.date.fromisoformat(part) for part in text.split(":"))
    if last < first:
        raise Detail(f"{last} lies before {first}")
    return first, last


def instant_or_now(text: str) -> dt.datetime | None:
    """An instant with a time zone, or None for ``now``."""
    if text == "now":
        return None
    instant = dt.datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise Detail("it has no time zone; end it with Z for UTC")
    if not 1900 <= instant.year < 2200:
        raise Detail("its year lies outside of 1900 to 2199")
    return instant.astimezone(dt.UTC)


def symbols_or_all(text: str) -> tuple[str, ...] | None:
    """Symbols, trimmed, upper-cased, without repeats; None for ``all``; ``@file`` is read."""
    if text == "all":
        return None
    if text.startswith("@"):
        path = ROOT / text[1:]
        try:
            if not path.is_file():
                raise Detail(f"no such file: {path.absolute()}")
            if path.stat().st_size > MAX_SYMBOLS_FILE:
                raise Detail(f"{path.absolute()} is larger than a list of symbols: 1 MiB at most")
            parts = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise Detail(f"{path.absolute()} is no text file") from error
        except OSError as error:
            raise Detail(f"{path.absolute()}: {error.strerror}") from error
        parts = [part for part in parts if part.strip()]
    else:
        parts = text.split(",")
    symbols = tuple(dict.fromkeys(part.strip().upper() for part in parts))
    if not symbols:
        raise Detail("the list is empty")
    for symbol in symbols:
        if not re.fullmatch(r"[A-Z0-9^][A-Z0-9.^=_-]{0,30}", symbol):
            raise Detail(f"{symbol!r} is no symbol: letters, digits and . - ^ = _ only")
    return symbols


# Over http(s) a user alone may be a token; elsewhere it is a name, or Azure's container.
_NAMED = re.compile(r"(?i)^((?!https?:)[a-z][a-z0-9+.-]*://)[^\s/?#:@]+@")


def path_or_uri(text: str) -> str:
    """A path or URI: one line, not empty."""
    if not text.strip():
        raise ValueError
    if "\0" in text or "\n" in text:
        raise Detail("a path or URI is one line")
    try:
        urlsplit(text)
    except ValueError as error:  # a bracket where the address stands
        raise Detail(f"no URI: {error}") from error
    plain = _NAMED.sub(r"\1", text)
    if redact_urls(plain) != plain:
        raise Detail(
            "it holds a password or a token, which every run would store and show; give these in "
            "the environment, or fetch the file first and give its path"
        )
    return text


def host(text: str) -> str:
    """A host name or an address."""
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", text):
        raise ValueError
    return text


def sentence(text: str) -> str:
    """A few words in one line, at most 200 characters."""
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise ValueError
    return text.strip()


def model_name(text: str) -> str:
    """A name that the registry takes and a URI can hold."""
    if not re.fullmatch(r"[\w][\w .-]{0,200}", text):
        raise ValueError
    return text
