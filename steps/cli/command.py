"""Programs: a step's function as a command line, with its run, its exit code and its errors."""

import inspect
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

import click

from pipeline.errors import Interrupted, PipelineError, StoreError, one_line
from pipeline.git.mlflow_clone import remove_clone
from pipeline.log.console import log_context, logger, redact_output, set_log_format
from pipeline.run.active_run import SignalReceived, tag_refused_run
from pipeline.run.log_tail import append_error
from pipeline.run.step_run import step_run
from pipeline.tags import ENV_IN_CHAIN
from pipeline.tracking.artifacts import local_folder
from steps.cli.parameters import PARAMETERS, Parameter, taken_by
from steps.cli.types import ROOT, Refused, expected_by
from stockpred.errors import StockpredError

TEXTS = "texts"  # in click's context: parameter -> its text, which child runs get
# MLflow's own messages at every call, and its reports to its makers, are not for our terminal.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # one more call a run
}


class OptionError(click.UsageError):
    """A wrong parameter, or parameters that do not go together, in one line.

    Parameters
    ----------
    name : str
        Parameter.
    value : object
        Its text; None: it is missing.
    expected, got, fix : str
        See `stockpred.errors.StockpredError`; `got` is the value where it is empty.
    """

    def __init__(
        self, name: str, value: object, *, expected: str, got: str = "", fix: str = ""
    ) -> None:
        subject = name if value is None else f"{name}={_short(str(value), 80)!r}"
        got = got or ("nothing" if value is None else repr(str(value)))
        super().__init__(f"{subject}: expected {expected}, got {_short(got, 300)}. Fix: {fix}.")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


class Option(click.Option):
    """An option whose errors have the one form and whose text is kept in the context."""

    unit = ""

    def type_cast_value(self, ctx: click.Context, value: object) -> object:
        """Convert the text, keeping it: child runs get texts, the cache's key has values."""
        if value is None:
            return None
        ctx.meta.setdefault(TEXTS, {})[self.name] = value
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            says_more = isinstance(error, Refused) or isinstance(self.type, click.Path)
            raise OptionError(
                str(self.name),
                value,
                expected=self._expected,
                got=error.message.rstrip(".") if says_more else "",
                fix=getattr(error, "fix", "") or self._fix,
            ) from error

    def process_value(self, ctx: click.Context, value: object) -> object:
        """Convert the text, or refuse its absence."""
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter as error:
            expected = f"{self.help}: {self._expected}" if self.help else self._expected
            raise OptionError(str(self.name), None, expected=expected, fix=self._fix) from error

    @property
    def _expected(self) -> str:
        return expected_by(self.type) + (f" ({self.unit})" if self.unit else "")

    @property
    def _fix(self) -> str:
        if isinstance(self.default, (str, int)):
            return f"give one such as {self.name}={self.default}"
        return f"give {self.name}=VALUE"


def option(parameter: Parameter, default: str | None) -> Option:
    """Make the click option of a parameter.

    Parameters
    ----------
    parameter : Parameter
    default : str, optional
        Text; None: the option is required.
    """
    # click takes a default of None for one that is given.
    is_log = parameter.name == "log"
    made = Option(
        [f"--{parameter.name}"],
        type=parameter.type_at(default),
        **({"required": True} if default is None else {"default": default}),
        show_default=True,
        help=parameter.help,
        metavar=parameter.unit.upper() or None,
        # Before the others, so that errors about these have the requested form.
        is_eager=is_log,
        callback=_use_log_form if is_log else None,
    )
    made.unit = parameter.unit
    return made


def _use_log_form(ctx: click.Context, param: click.Parameter, value: str) -> str:
    set_log_format(value)
    return value


class Program:
    """A command that ends the process when it is called.

    Exit codes: 0 done, 1 failed, 2 a wrong option, 3 an alert, 128 + n ended by signal n.

    Attributes
    ----------
    command : click.Command
    body : callable
        The function behind the command, with flat parameters (see `grouped`).
    """

    def __init__(
        self, command: click.Command, body: Callable[..., None] = lambda **values: None
    ) -> None:
        self.command, self.body = command, body

    def __call__(self) -> NoReturn:
        """Parse the command line, run the command and end the process."""
        redact_output()
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        # A database's error is raised, too, and logged in one line.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        try:
            self.command.main(standalone_mode=False)
        except click.ClickException as error:
            line = usage_message(error)
            self._tell_run(line)
            _end(line, 2)
        except click.Abort:
            _end("interrupted", 130)
        except Interrupted as error:
            _end(str(error), 128 + error.signum)
        except SignalReceived as error:
            _end("", 128 + error.signum)
        except Exception as error:
            if not isinstance(error, (StockpredError, PipelineError)) and not _is_outside(error):
                raise
            # In a chain the chain logs the line, which is on the run where there was one by then.
            line, is_logged = one_line(error), ENV_IN_CHAIN in os.environ
            if is_logged and not hasattr(error, "is_logged"):
                is_logged = append_error(line)
            if not isinstance(error, StoreError):
                self._tell_run(line)
            code = error.exit_code if isinstance(error, PipelineError) else 1
            _end("" if is_logged else line, code)
        _end("", 0)

    def _tell_run(self, line: str) -> None:
        """Tell the run that `mlflow run` made why it does not begin; one that began knows."""
        has_begun = "run" in log_context or ENV_IN_CHAIN in os.environ
        if "MLFLOW_RUN_ID" in os.environ and not has_begun:
            tag_refused_run(str(self.command.name), line)


def usage_message(error: click.ClickException) -> str:
    """Describe a wrong command line in the one form of errors."""
    if isinstance(error, OptionError):
        return error.format_message()
    got, fix = error.format_message().split("\n")[0].rstrip("."), "look at --help"
    got = got.removeprefix("Got ")
    if isinstance(error, click.NoSuchOption):
        got = f"the unknown option {error.option_name}"
        fix = f"give {error.possibilities[0]}, or {fix}" if error.possibilities else fix
    return f"command line: expected the options that --help lists, got {got}. Fix: {fix}."


def program(entry_point: str) -> Callable[[Callable[..., None]], Program]:
    """Make a function the program of an entry point.

    The function's keyword arguments are the entry point's parameters in `parameters`, typed. An
    argument that is a dataclass is made of the parameters that its fields are named for; it may
    refuse values that do not go together when it is made.
    """

    def wrap(function: Callable[..., None]) -> Program:
        taken = taken_by(entry_point)
        if (names := _names(function)) is not None and set(names) != set(taken):
            differing = sorted(set(names) ^ set(taken))
            raise TypeError(
                f"{entry_point}: its function and the table of parameters differ in {differing}"
            )

        def body(*first: object, **values: object) -> None:
            function(*first, **grouped(function, values))

        command = click.Command(
            entry_point,
            params=[option(PARAMETERS[name], default) for name, default in taken.items()],
            callback=body,
            help=sys.modules[function.__module__].__doc__,
        )
        return Program(command, body)

    return wrap


def step(entry_point: str) -> Callable[[Callable[..., None]], Program]:
    """Make a function the program of a step: like `program`, with the step's run open.

    The function's first argument is the open `StepRun`. Dataclasses are made before it opens. A
    step alone ends with its key figure on stdout, and where its artifacts are; in a chain the
    summary has both.
    """

    def wrap(function: Callable[..., None]) -> Program:
        def callback(**values: object) -> None:
            arguments = grouped(function, values)
            with step_run(ROOT, entry_point, raw_texts()) as run:
                function(run, **arguments)
            if run.key_figure is not None and ENV_IN_CHAIN not in os.environ:
                uri = run.get_run(run.run_id).info.artifact_uri
                where = local_folder(uri) or f"run {run.run_id}"
                click.echo(f"{entry_point}: {run.key_figure}\nArtifacts in {where}")

        made = program(entry_point)(function)
        made.command.callback = callback
        return made

    return wrap


def raw_texts() -> dict[str, str]:
    """Text of each parameter of the running command."""
    return dict(click.get_current_context().meta[TEXTS])


def grouped(function: Callable[..., None], values: Mapping[str, Any]) -> dict[str, Any]:
    """Make a function's keyword arguments of flat values.

    Parameters
    ----------
    function : callable
        Some of its arguments may be dataclasses.
    values : mapping of str to object
        Parameter -> typed value.

    Returns
    -------
    dict of str to object
        Argument -> value, or the dataclass of those values that its fields are named for.
    """
    groups = {name: kind for name, kind in _dataclasses(function).items() if name not in values}
    fields_of = {name: [field.name for field in fields(kind)] for name, kind in groups.items()}
    in_group = {field for names in fields_of.values() for field in names}
    arguments = {name: value for name, value in values.items() if name not in in_group}
    for name, kind in groups.items():
        arguments[name] = kind(**{f: values[f] for f in fields_of[name] if f in values})
    return arguments


def _dataclasses(function: Callable[..., None]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.annotation for p in parameters if is_dataclass(p.annotation)}


def _names(function: Callable[..., None]) -> list[str] | None:
    """Parameters that a function takes; None: any."""
    parameters, groups = inspect.signature(function).parameters.values(), _dataclasses(function)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    own = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in groups]
    return own + [field.name for kind in groups.values() for field in fields(kind)]


def _is_outside(error: Exception) -> bool:
    """Whether the cause is outside of the program, such as a full disk or a silent server."""
    if isinstance(error, OSError):
        return True
    if isinstance(error, ModuleNotFoundError):  # a store's package that is not installed
        return not (ROOT / str(error.name).partition(".")[0]).exists()
    # By name: neither is imported where it is not used.
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"MlflowException", "SQLAlchemyError"})


def _end(message: str, code: int) -> NoReturn:
    if message:
        logger.error(" ".join(message.split()), extra={"event": "error"})
    remove_clone(ROOT)
    sys.exit(code)
