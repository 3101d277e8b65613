"""Every parameter of the chain, once: name, default, type, help. The shells take theirs by name."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from stockpred.candidates import CANDIDATES
from stockpred.features import FEATURE_SETS

ROOT = Path(__file__).resolve().parent.parent
MAX_SEED = 2**32 - 1
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
            reason = f" ({error})" if isinstance(error, Detail) else ""
            raise OptionError(name, value, self.rule + reason) from error


class Detail(ValueError):
    """What of a rule was broken, where the rule alone does not tell."""


class OptionError(click.UsageError):
    """One line: parameter, value, rule, way out."""

    def __init__(self, name: str, value: str, rule: str) -> None:
        shown = value if len(value) <= 80 else value[:77] + "..."
        super().__init__(f"{name}={shown!r}: {rule}")


def whole(low: int, high: int | None = None, rule: str = "") -> Checked:
    """A whole number in a range, both ends included."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text):
            raise ValueError
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError
        return value

    span = f"from {low} to {high}" if high is not None else f"of at least {low}"
    return Checked(convert, rule or f"give a whole number {span}")


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


def some_of(names: Sequence[str]) -> Checked:
    """A comma-separated list of registered names, in the given order, without repeats."""

    def convert(text: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise Detail(f"{unknown[0]!r} is none of them")
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


def _symbols(text: str) -> tuple[str, ...] | None:
    if text == "all":
        return None
    if text.startswith("@"):
        path = ROOT / text[1:]
        if not path.is_file():
            raise Detail(f"no such file: {path.absolute()}")
        if path.stat().st_size > MAX_SYMBOLS_FILE:
            raise Detail(f"{path.absolute()} is larger than a list of symbols: 1 MiB at most")
        try:
            parts = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise Detail(f"{path.absolute()} is no text file") from error
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


def _source(text: str) -> str:
    if not text.strip():
        raise ValueError
    if "\0" in text or "\n" in text:
        raise Detail("a path or URI is one line")
    return text


def _model_name(text: str) -> str:
    if not re.fullmatch(r"[\w][\w .-]{0,200}", text):
        raise ValueError
    return text


@dataclass(frozen=True)
class Parameter:
    """One parameter; `default` is the text that MLproject declares."""

    name: str
    default: str
    type: click.ParamType[Any]
    help: str


_TABLE = (
    Parameter(
        "source", "snapshot",
        Checked(_source, "give snapshot, or a path or URI of a Parquet or CSV file of bars"),
        "`snapshot` (data/), or a path or URI of a Parquet or CSV file of bars",
    ),
    Parameter(
        "symbols", "all",
        Checked(_symbols, "give all, a comma-separated list such as AAPL,MSFT, or @file"),
        "comma-separated, or `@file` with one a line; `all` = every symbol of the source",
    ),
    Parameter("start", "earliest", date_or("earliest"), "ISO date, inclusive"),
    Parameter("end", "latest", date_or("latest"), "ISO date, inclusive"),
    Parameter(
        "max_missing", "0.05",
        share(0, 1, with_low=True, rule="give a share from 0 to below 1"),
        "share of symbols that may be quarantined whole before the run fails",
    ),
    Parameter("horizon", "1", whole(1, 252), "sessions from entry to exit"),
    Parameter("feature_sets", "direction,technical", some_of(list(FEATURE_SETS)), "feature sets"),
    Parameter("window", "14", whole(1, 252), "length of the `direction` set"),
    Parameter(
        "models", "prior,logistic,random_forest,hist_gradient_boosting",
        some_of(list(CANDIDATES)), "candidates",
    ),
    Parameter("folds", "5", whole(2, 50), "walk-forward folds"),
    Parameter(
        "gap", "5", whole(0, 1000),
        "sessions left out between a training window and its test window, beyond the purge",
    ),
    Parameter(
        "holdout", "0.2",
        share(0, 1, with_low=False, rule="give a share above 0 and below 1, such as 0.2"),
        "the last share of the dates, on which nothing is chosen",
    ),
    Parameter("refit_every", "63", whole(1), "sessions between refits within the holdout"),
    Parameter(
        "trials", "0",
        whole(0, 0, "give 0: a search over hyperparameters is not built yet"),
        "hyperparameter trials a candidate; 0 = the defaults",
    ),
    Parameter(
        "cost_bps", "5",
        share(0, 10_000, with_low=True, rule="give basis points from 0 to below 10000"),
        "trading cost a side, in basis points",
    ),
    Parameter(
        "registered_model", "stockpred",
        Checked(_model_name, "give a name of letters, digits, spaces and _ . - (no / or :)"),
        "name in the registry",
    ),
    Parameter(
        "phase", "production", one_of("ideation", "prototyping", "pilot", "production"),
        "how far the chain goes: `ideation` (to features), `prototyping` (to evaluate), "
        "`pilot` (registers, Staging at most), `production` (may promote)",
    ),
    Parameter("cache", "on", one_of("on", "off"), "`off` runs every step"),
    Parameter("backend", "warm", one_of("warm", "local"), "`warm`, or MLflow's `local`"),
    Parameter("seed", "0", whole(0, MAX_SEED), "every random choice"),
)  # fmt: skip
PARAMETERS = {parameter.name: parameter for parameter in _TABLE}

_INPUTS = {
    "bars": "bars.parquet of acquire or validate",
    "table": "features.parquet of features",
    "recipe": "recipe.json of train",
    "model_uri": "the model of train, models:/m-...",
    "evaluation": "evaluation.json of evaluate",
    "predictions": "holdout_predictions.parquet of evaluate",
}


def option(name: str) -> click.Option:
    """The click option of a parameter, or of an input (a path or URI, required)."""
    if name in PARAMETERS:
        parameter = PARAMETERS[name]
        return click.Option(
            [f"--{name}"], type=parameter.type, default=parameter.default,
            show_default=True, help=parameter.help,
        )  # fmt: skip
    rule = f"give a path or URI: {_INPUTS[name]}"
    return click.Option(
        [f"--{name}"],
        type=Checked(_source, rule),
        required=True,
        help=f"{_INPUTS[name]}: path or URI",
    )
