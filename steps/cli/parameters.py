"""Every parameter of the chain, once: name, default, type, help. The shells take theirs by name."""

from dataclasses import dataclass

import click

from pipeline.log.console import JSON, set_log_format
from steps.cli.types import (
    Checked,
    date_or,
    dates_asked,
    host,
    instant_or_now,
    model_name,
    one_of,
    path_or_uri,
    sentence,
    share,
    some_of,
    symbols_or_all,
    whole,
    whole_or,
)
from stockpred.features.registry import FEATURE_SETS
from stockpred.models.calibrators import METHODS
from stockpred.models.candidates import CANDIDATES, missing_extra

MAX_SEED = 2**32 - 1
MAX_SESSIONS = 100_000
NONE = "none"
LOG = "log"


@dataclass(frozen=True)
class Parameter:
    """One parameter; `default` is the text that MLproject declares."""

    name: str
    default: str
    type: Checked
    help: str


_TABLE = (
    Parameter(
        "source",
        "snapshot",
        Checked(
            path_or_uri, "give snapshot, yahoo, or a path or URI of a Parquet or CSV file of bars"
        ),
        "`snapshot` (data/), `yahoo`, or a path or URI of a Parquet or CSV file of bars",
    ),
    Parameter(
        "symbols",
        "all",
        Checked(symbols_or_all, "give all, a comma-separated list such as AAPL,MSFT, or @file"),
        "comma-separated, or `@file` with one a line; `all` = every symbol of the source",
    ),
    Parameter("start", "earliest", date_or("earliest"), "ISO date, inclusive"),
    Parameter("end", "latest", date_or("latest"), "ISO date, inclusive"),
    Parameter(
        "as_of",
        "now",
        Checked(instant_or_now, "give now, or an instant such as 2024-06-28T21:00Z"),
        "instant up to which sessions count, for `yahoo`",
    ),
    Parameter(
        "max_missing",
        "0.05",
        share(0, 1, with_low=True, rule="give a share from 0 to below 1"),
        "share of symbols that may fail or be quarantined whole before the run fails",
    ),
    Parameter("horizon", "1", whole(1, 252), "sessions from entry to exit"),
    Parameter("feature_sets", "direction,technical", some_of(list(FEATURE_SETS)), "feature sets"),
    Parameter("window", "14", whole(1, 252), "length of the `direction` set"),
    Parameter(
        "models",
        "prior,logistic,random_forest,hist_gradient_boosting",
        some_of(list(CANDIDATES), missing_extra),
        "candidates",
    ),
    Parameter(
        "calibration",
        "none",
        one_of(*METHODS),
        "map of the probabilities, fitted on inner folds: `none`, `sigmoid` or `isotonic`",
    ),
    Parameter("folds", "5", whole(2, 50), "walk-forward folds"),
    Parameter(
        "gap",
        "5",
        whole(0, 1000),
        "sessions left out between a training window and its test window, beyond the purge",
    ),
    Parameter(
        "train_window",
        "all",
        whole_or("all", 1, MAX_SESSIONS),
        "sessions of a training window, the last before what it forecasts; `all` of them",
    ),
    Parameter(
        "half_life",
        "none",
        whole_or("none", 1, MAX_SESSIONS),
        "sessions after which a training row counts half; `none`: old rows never fade",
    ),
    Parameter(
        "holdout",
        "0.2",
        share(0, 1, with_low=False, rule="give a share above 0 and below 1, such as 0.2"),
        "the last share of the dates, on which nothing is chosen",
    ),
    Parameter("refit_every", "63", whole(1), "sessions between refits within the holdout"),
    Parameter(
        "trials",
        "0",
        whole(0, 1000),
        "hyperparameter trials a candidate, the first with the defaults; 0 = the defaults alone",
    ),
    Parameter(
        "cost_bps",
        "5",
        share(0, 10_000, with_low=True, rule="give basis points from 0 to below 10000"),
        "trading cost a side in the backtest, in basis points",
    ),
    Parameter(
        "short",
        "off",
        one_of("off", "on"),
        "`on` sells short in the backtest where the forecast is down; `off` stays in cash",
    ),
    Parameter(
        "borrow_bps",
        "50",
        share(0, 10_000, with_low=True, rule="give basis points from 0 to below 10000"),
        "cost of borrowing what is sold short, in basis points a year",
    ),
    Parameter(
        "registered_model",
        "stockpred",
        Checked(model_name, "give a name of letters, digits, spaces and _ . - (no / or :)"),
        "name in the registry",
    ),
    Parameter(
        "phase",
        "production",
        one_of("ideation", "prototyping", "pilot", "production"),
        "how far the chain goes: `ideation` (to features), `prototyping` (to evaluate), "
        "`pilot` (registers, Staging at most), `production` (may promote)",
    ),
    Parameter(
        "max_age",
        "63",
        whole(1),
        "sessions that the data may be ahead of the champion's training data before it is too old",
    ),
    Parameter("cache", "on", one_of("on", "off"), "`off` runs every step"),
    Parameter("backend", "warm", one_of("warm", "local"), "`warm`, or MLflow's `local`"),
    Parameter("seed", "0", whole(0, MAX_SEED), "every random choice"),
    Parameter(
        LOG,
        "text",
        one_of("text", JSON),
        "form of the lines on stderr: `text`, or `json`, one object a line",
    ),
)
PARAMETERS = {parameter.name: parameter for parameter in _TABLE}

# Taken by entry points outside of the chain alone.
_ALONE = (
    Parameter(
        "dates",
        "last",
        Checked(dates_asked, "give last, all, or FROM:TO such as 2012-01-01:2012-12-31"),
        "sessions after which to forecast: `last` of each symbol, `all`, or `FROM:TO`, both "
        "included",
    ),
    Parameter(
        "to",
        NONE,
        Checked(path_or_uri, "give a folder or URI of a ledger").or_none(),
        "folder or URI of the ledger that forecasts are added to; `none`: none",
    ),
    Parameter(
        "action",
        "register",
        one_of("register", "promote", "reject", "rollback", "history"),
        "`register` a model and let the gate decide; by hand `promote` or `reject` a version, or "
        "`rollback` to the champion before; `history` tells who was champion when, and why",
    ),
    Parameter(
        "reason",
        NONE,
        Checked(sentence, "give a few words in one line, at most 200 characters").or_none(),
        "why, in a few words: for what is moved by hand",
    ),
    Parameter(
        "date",
        "latest",
        date_or("latest"),
        "ISO date, UTC, of which `history` tells the champion",
    ),
    Parameter(
        "on_alert",
        "report",
        one_of("report", "fail", "retrain"),
        "what an alert does beside being told: `report` nothing, `fail` ends with exit code 3, "
        "`retrain` says in monitoring.json that training is due",
    ),
    Parameter(
        "shadow",
        "false",
        one_of("false", "true"),
        "`true` lets the challengers forecast, too, so that they can be compared",
    ),
    Parameter(
        "retrain_every", "21", whole(1), "sessions after which the training chain is due again"
    ),
    Parameter("port", "5001", whole(0, 65535), "port of the model server; 0: any that is free"),
    Parameter(
        "host",
        "127.0.0.1",
        Checked(host, "give a host name or address such as 127.0.0.1"),
        "address of the model server; 0.0.0.0: every one that this machine has",
    ),
    Parameter(
        "max_rows", "100000", whole(1, 10_000_000), "most rows of one request to the model server"
    ),
)
ALONE = {parameter.name: parameter for parameter in _ALONE}

_INPUTS = {
    "bars": "bars.parquet of acquire or validate",
    "table": "features.parquet of features",
    "recipe": "recipe.json of train",
    "model_uri": "models:/m-... of train, models:/name/version, models:/name@alias, or auto",
    "evaluation": "evaluation.json of evaluate",
    "predictions": "holdout_predictions.parquet of evaluate",
    "validation": "validation.json of validate",
    "ledger": "folder or URI of the ledger that score adds forecasts to",
}


def option(spec: str) -> click.Option:
    """The click option of a parameter, or of an input (a path or URI).

    Parameters
    ----------
    spec : str
        Its name, or ``name=default`` where the entry point has a default of its own; an input
        without one is required, and ``none`` stands for None where it is the default.
    """
    name, _, own = spec.partition("=")
    parameter = PARAMETERS.get(name) or ALONE.get(name)
    if parameter is None:
        rule = f"give a path or URI: {_INPUTS[name]}"
        what = f"{_INPUTS[name]}: path or URI"
        parameter = Parameter(name, own, Checked(path_or_uri, rule), what)
    default = own or parameter.default
    kind = parameter.type.or_none() if own == NONE else parameter.type
    # Before the others, so that what is wrong with these is said in the form that was asked for.
    return click.Option(
        [f"--{name}"],
        type=kind,
        default=default or None,
        required=not default,
        show_default=True,
        help=parameter.help,
        is_eager=name == LOG,
        callback=_use if name == LOG else None,
    )


def _use(ctx: click.Context, param: click.Parameter, value: str) -> str:
    set_log_format(value)
    return value
