"""The table of parameters: the command line, MLproject and docs/parameters.md are made from it.

To add a parameter: a row here, `make generate`, and an argument of that name in the programs that
take it.
"""

import re
from dataclasses import dataclass
from typing import Any

import click

from pipeline.log.console import JSON
from pipeline.parallel.address import LOCAL
from steps.cli.types import (
    Date,
    DateSpan,
    Engine,
    Flag,
    Instant,
    Location,
    Names,
    Number,
    Or,
    Symbols,
    Text,
)
from stockpred.features.registry import FEATURE_SETS
from stockpred.models.calibrators import METHODS
from stockpred.models.candidates import CANDIDATES, missing_extra

MAX_SEED = 2**32 - 1
MAX_SESSIONS = 100_000
NONE = "none"
RECIPE = "recipe"  # own default: the value that the recipe has
CHAIN = "main"
# In the order of MLproject: the chain and its steps, then what is beside it.
ENTRY_POINTS = (
    CHAIN,
    *("acquire", "validate", "features", "train", "evaluate", "report", "register"),
    *("score", "monitor", "daily", "serve"),
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of one or more entry points.

    Attributes
    ----------
    name : str
        The same in every entry point, and the name of the argument in its program.
    default : str, optional
        Text; None: the parameter is required.
    type : click.ParamType
        Turns the text into a value. The value is what functions and the cache's key take; child
        runs get the text.
    help : str
        A noun phrase; the unit follows it.
    entry_points : str
        Names of those that take it. ``name=default`` gives an entry point a default of its own;
        the defaults ``none`` and ``recipe`` are None there.
    unit : str
        Such as ``sessions``.
    page : str
        Page of the documentation that has more, such as ``data``.
    is_keyed : bool
        Whether the value is part of the cache's key.
    is_artifact : bool
        Whether it names what an earlier run wrote.
    """

    name: str
    default: str | None
    type: "click.ParamType[Any]"
    help: str
    entry_points: str
    unit: str = ""
    page: str = ""
    is_keyed: bool = True
    is_artifact: bool = False

    @property
    def own_defaults(self) -> dict[str, str | None]:
        """Map each entry point that takes the parameter to its default."""
        parts = (word.partition("=") for word in self.entry_points.split())
        return {name: own if equals else self.default for name, equals, own in parts}

    def type_at(self, default: str | None) -> "click.ParamType[Any]":
        """Type in an entry point with this default."""
        is_word = default in (NONE, RECIPE) and self.default != default
        return Or(str(default), self.type) if is_word else self.type


_ROWS = (
    # Artifacts that steps read.
    Parameter(
        "recipe",
        None,
        Location(),
        "recipe.json of `train`",
        "evaluate",
        is_artifact=True,
    ),
    Parameter(
        "table",
        None,
        Location(),
        "features.parquet of `features`",
        "train evaluate",
        is_artifact=True,
    ),
    Parameter(
        "bars",
        None,
        Location(),
        "bars.parquet of `acquire` (for `validate`) or `validate` (for the others); `none`: those "
        "of `source`",
        "validate features score=none monitor=none",
        is_artifact=True,
    ),
    Parameter(
        "example",
        None,
        Location(),
        "example.parquet of `validate`: bars of the model's input example",
        "train",
        is_artifact=True,
    ),
    Parameter(
        "ledger",
        None,
        Location(),
        "folder or URI of the ledger that `score` adds forecasts to; a run from a git URL refuses "
        "one in the project's folder",
        "monitor daily=.stockpred/ledger",
        page="scoring",
        is_artifact=True,
    ),
    Parameter(
        "model_uri",
        "auto",
        Location(),
        "model: `models:/m-...` of `train` (`register` registers only this form), "
        "`models:/name/version`, `models:/name@alias`, or `auto`: the champion of "
        "`registered_model`, else with a warning the version that `daily` forecasts with, or "
        "the candidate",
        "register score serve",
        page="registry",
        is_artifact=True,
    ),
    Parameter(
        "evaluation",
        None,
        Location(),
        "evaluation.json of `evaluate`; `register` needs it for `action=register` alone",
        "report register=none",
        is_artifact=True,
    ),
    Parameter(
        "predictions",
        None,
        Location(),
        "holdout_predictions.parquet of `evaluate`; `register` needs it for `action=register` "
        "alone",
        "report register=none",
        is_artifact=True,
    ),
    Parameter(
        "validation",
        NONE,
        Or(NONE, Location()),
        "validation.json of `validate`; `register` needs it for `action=register` alone, `report` "
        "shows from it what could hardly be traded at",
        "report register",
        is_artifact=True,
    ),
    # Data.
    Parameter(
        "source",
        "snapshot",
        Location("snapshot, yahoo, or a path or URI of Parquet or CSV files of bars"),
        "origin of the bars: `snapshot` (data/), `yahoo`, or a path or URI (http, https, s3, gs) "
        "of Parquet or CSV files: one, a folder (`bars/`) or a pattern (`bars/*.csv`); `none`: "
        "`bars`, or else the source that the model was trained on",
        "main acquire score=none monitor=none daily",
        page="data",
    ),
    Parameter(
        "symbols",
        "all",
        Or("all", Symbols()),
        "symbols, comma-separated, or `@file` with one a line (and comments after `#`), which "
        "suits long lists as MLflow cuts long parameters; `all`: every symbol of the source (not "
        "for `yahoo`), or those that the model was trained on where its source is read",
        "main acquire score monitor daily",
    ),
    Parameter(
        "start",
        "earliest",
        Or("earliest", Date()),
        "first date, ISO, inclusive; `earliest`: the first of the source",
        "main acquire daily",
    ),
    Parameter(
        "end",
        "latest",
        Or("latest", Date()),
        "last date, ISO, inclusive; `latest`: the last of the source, for `yahoo` each symbol's "
        "last session closed by `as_of`",
        "main acquire daily",
    ),
    Parameter(
        "as_of",
        "now",
        Or("now", Instant()),
        "instant up to which sessions of `yahoo` count; `main` fixes `now` once for the chain. "
        "Not in the cache's key, the sessions are",
        "main acquire score monitor daily",
        is_keyed=False,
    ),
    Parameter(
        "max_missing",
        "0.05",
        Number(0, 1, max_open=True),
        "largest share of symbols that may fail or be quarantined whole before the run fails; "
        "above 0 it always allows one symbol of four or more",
        "main acquire validate score monitor daily",
    ),
    # Features.
    Parameter(
        "horizon",
        "1",
        click.IntRange(1, 252),
        "time from entry to exit",
        "main features daily",
        unit="sessions",
    ),
    Parameter(
        "feature_sets",
        "direction,technical",
        Names(list(FEATURE_SETS)),
        "feature sets: `direction` (the last `window` up flags), `technical` (33 price and volume "
        "features)",
        "main validate features daily",
        page="learning",
    ),
    Parameter(
        "window",
        "14",
        click.IntRange(1, 252),
        "length of the `direction` set",
        "main validate features daily",
        unit="sessions",
    ),
    # Training.
    Parameter(
        "models",
        "prior,logistic,random_forest,hist_gradient_boosting",
        Names(list(CANDIDATES), missing_extra),
        "candidates, of which the one with the lowest mean log loss over the folds becomes the "
        "recipe; `xgboost` needs the extra of that name",
        "main train daily",
        page="learning",
    ),
    Parameter(
        "calibration",
        "none",
        click.Choice(METHODS),
        "map of the probabilities, fitted on inner folds",
        "main train daily",
    ),
    Parameter(
        "folds",
        "5",
        click.IntRange(2, 50),
        "number of walk-forward folds on the dates before the holdout",
        "main train daily",
    ),
    Parameter(
        "gap",
        "5",
        click.IntRange(0, 1000),
        "embargo between a training window and its test window, beyond the purge",
        "main train daily",
        unit="sessions",
    ),
    Parameter(
        "train_window",
        "all",
        Or("all", click.IntRange(1, MAX_SESSIONS)),
        "length of a training window, which ends before what it forecasts; `all`: every session",
        "main train daily",
        unit="sessions",
    ),
    Parameter(
        "half_life",
        NONE,
        Or(NONE, click.IntRange(1, MAX_SESSIONS)),
        "age at which a training row counts half; `none`: old rows count in full",
        "main train daily",
        unit="sessions",
    ),
    Parameter(
        "holdout",
        "0.2",
        Number(0, 1, min_open=True, max_open=True),
        "last share of the dates, on which nothing is chosen",
        "main features train daily",
    ),
    Parameter(
        "refit_every",
        "63",
        click.IntRange(1),
        "time between refits within the holdout",
        "main evaluate daily",
        unit="sessions",
    ),
    Parameter(
        "trials",
        "0",
        click.IntRange(0, 1000),
        "number of hyperparameter trials of each candidate, the first with the defaults; `0`: "
        "the defaults alone",
        "main train daily",
        page="learning",
    ),
    Parameter(
        "cost_bps",
        "5",
        Number(0, 10_000, max_open=True),
        "trading cost of a side in the backtest",
        "main train evaluate daily",
        unit="basis points",
    ),
    Parameter(
        "short",
        "off",
        Flag("off", "on"),
        "short sales in the backtest where the forecast is down; `off` stays in cash",
        "main train evaluate daily",
    ),
    Parameter(
        "borrow_bps",
        "50",
        Number(0, 10_000, max_open=True),
        "cost of borrowing what is sold short",
        "main train evaluate daily",
        unit="basis points a year",
    ),
    # Registration and use.
    Parameter(
        "registered_model",
        "stockpred",
        Text(
            re.compile(r"\w[\w .-]{0,200}").fullmatch,
            "a name of letters, digits, spaces and _ . - (no / or :)",
        ),
        "name in the registry, which belongs to one kind of data: `main`, `daily` and `register` "
        "refuse another, and suggest a free name",
        "main register score monitor daily serve",
        page="registry",
    ),
    Parameter(
        "phase",
        "production",
        click.Choice(("ideation", "prototyping", "pilot", "production")),
        "extent of the chain: `ideation` (to features), `prototyping` (to report), `pilot` "
        "(registers, Staging at most), `production` (may promote)",
        "main register daily",
    ),
    Parameter(
        "require_tradable",
        "on",
        Flag("off", "on"),
        "promotion only of models that are judged on prices that could be traded at (stale opens, "
        "unchanged closes, sessions without volume or range); `off` leaves that rule out",
        "main register daily",
        page="data",
    ),
    Parameter(
        "max_age",
        "63",
        click.IntRange(1),
        "lead of the data over the champion's training data above which the champion is too old, "
        "as the table, the parent run, `decision.json` and the version's tag `age` then say",
        "main register daily",
        unit="sessions",
    ),
    Parameter(
        "cache",
        "on",
        click.Choice(("on", "off")),
        "reuse of finished steps; `off` runs every step",
        "main daily",
        page="pipeline",
    ),
    Parameter(
        "backend",
        "warm",
        click.Choice(("warm", "local")),
        "start of the steps: in `warm` processes, or by MLflow's `local` backend",
        "main daily",
        page="pipeline",
    ),
    Parameter(
        "engine",
        LOCAL,
        Engine(),
        "machines that compute features and fit models: `local` uses the cores of this one, "
        "`tcp://host:port` or `tls://host:port` the workers of a Dask cluster by its scheduler's "
        "address. Not in the cache's key: no result depends on it",
        "main features train evaluate daily",
        page="scaling",
        is_keyed=False,
    ),
    Parameter(
        "seed",
        "0",
        click.IntRange(0, MAX_SEED),
        "seed of every random choice; `recipe`: that of `train`",
        "main train evaluate=recipe daily",
    ),
    Parameter(
        "log",
        "text",
        click.Choice(("text", JSON)),
        "form of the lines on stderr: `text`, or `json` with one object a line",
        "main daily",
        page="logging",
    ),
    # Entry points outside of the chain, and registration by hand.
    Parameter(
        "dates",
        "last",
        Or("last", DateSpan()),
        "sessions after which to forecast: `last` of each symbol, `all`, or `FROM:TO`, both "
        "inclusive",
        "score",
        page="scoring",
    ),
    Parameter(
        "to",
        NONE,
        Or(NONE, Location("a folder or URI of a ledger")),
        "folder or URI of the ledger that forecasts are added to; `none`: no ledger",
        "score",
        page="scoring",
    ),
    Parameter(
        "action",
        "register",
        click.Choice(("register", "promote", "reject", "rollback", "history")),
        "action: `register` a model and let the gate decide; by hand `promote` or `reject` a "
        "version, or `rollback` to the champion before; `history` shows who was champion when, "
        "and why",
        "register",
        page="registry",
    ),
    Parameter(
        "reason",
        NONE,
        Or(
            NONE,
            Text(
                lambda text: text.strip() and len(text) <= 200 and text.isprintable(),
                "a few words in one line, at most 200 characters",
            ),
        ),
        "reason in a few words, required for `promote`, `reject` and `rollback`",
        "register",
    ),
    Parameter(
        "date",
        "latest",
        Or("latest", Date()),
        "date, ISO, UTC, for which `history` shows the champion; `latest`: the present one",
        "register",
    ),
    Parameter(
        "shadow",
        "false",
        Flag("false", "true"),
        "forecasts of the challengers, too, so that they can be compared",
        "daily",
        page="monitoring",
    ),
    Parameter(
        "retrain_every",
        "21",
        click.IntRange(1),
        "age of the newest training at which the training chain is due again",
        "daily",
        unit="sessions",
        page="monitoring",
    ),
    Parameter(
        "on_alert",
        "report",
        click.Choice(("report", "fail", "retrain")),
        "effect of an alert beside its report: `report` none, `fail` exit code 3, `retrain` a note "
        "in monitoring.json that training is due",
        "monitor daily=retrain",
        page="monitoring",
    ),
    Parameter(
        "port",
        "5001",
        click.IntRange(0, 65535),
        "port of the model server; `0`: any that is free",
        "serve",
        page="serving",
    ),
    Parameter(
        "host",
        "127.0.0.1",
        Text(
            re.compile(r"[A-Za-z0-9.:_-]{1,253}").fullmatch,
            "a host name or address such as 127.0.0.1",
        ),
        "address of the model server; `0.0.0.0`: every one of this machine",
        "serve",
    ),
    Parameter(
        "max_rows",
        "100000",
        click.IntRange(1, 10_000_000),
        "largest number of rows in one request to the model server",
        "serve",
    ),
)
PARAMETERS = {parameter.name: parameter for parameter in _ROWS}


def taken_by(entry_point: str) -> dict[str, str | None]:
    """Map each parameter of an entry point to its default text there, in the table's order."""
    return {
        row.name: row.own_defaults[entry_point] for row in _ROWS if entry_point in row.own_defaults
    }


def of_chain(step: str, *, is_keyed: bool = True) -> tuple[str, ...]:
    """Names of the parameters that the chain hands on to one of its steps.

    Parameters
    ----------
    step : str
        Entry point.
    is_keyed : bool
        Whether those that are part of the cache's key, or the others.

    Returns
    -------
    tuple of str
    """
    names = (name for name in taken_by(step) if CHAIN in PARAMETERS[name].own_defaults)
    return tuple(name for name in names if PARAMETERS[name].is_keyed is is_keyed)


def defaults(entry_point: str = CHAIN) -> dict[str, Any]:
    """Typed default of each parameter of an entry point that is not required."""
    texts = taken_by(entry_point).items()
    return {name: value_of(name, text) for name, text in texts if text is not None}


def value_of(name: str, text: str) -> Any:  # noqa: ANN401 - each parameter has its own type
    """Convert a parameter's text to its value."""
    return PARAMETERS[name].type.convert(text, None, None)
