"""What the shells share: from options to a run, and from an error to one line."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from pipeline.errors import Interrupted, PipelineError, one_line
from pipeline.git.clone import remove_clone
from pipeline.log.console import logger, redact_output
from pipeline.run.active_run import SignalReceived
from pipeline.run.log_tail import append_error
from pipeline.run.step_run import step_run
from pipeline.tags import ENV_IN_CHAIN
from steps.cli.parameters import option
from steps.cli.types import ROOT
from stockpred.errors import StockpredError

# MLflow's own messages at every call, and its reports to its makers, are not for our terminal.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # one more call a run
}


def shell(
    entry_point: str, *names: str, check: Callable[..., None] | None = None
) -> Callable[[Callable[..., None]], Callable[[], NoReturn]]:
    """Make a step's body the main function of its module.

    The body is called with its open `StepRun` and one typed argument a name; names are those of
    `parameters.option`. Before the run opens, `check` may refuse values that do not go together.
    """

    def wrap(body: Callable[..., None]) -> Callable[[], NoReturn]:
        def callback(**values: Any) -> None:
            texts = click.get_current_context().meta["texts"]
            if check is not None:
                check(**values)
            with step_run(ROOT, entry_point, texts) as run:
                body(run, **values)

        main = main_function(entry_point, names, callback, body.__module__)
        main.body = body  # type: ignore[attr-defined]
        return main

    return wrap


def main_function(
    entry_point: str, names: tuple[str, ...], callback: Callable[..., None], module: str
) -> Callable[[], NoReturn]:
    """A function that parses the command line, runs the callback and ends the process.

    Exit codes: 0 done, 1 failed, 2 a wrong option, 3 an alert, 128 + n ended by signal n.
    """
    text = sys.modules[module].__doc__ or entry_point
    options: list[click.Parameter] = [option(name) for name in names]
    return program(click.Command(entry_point, params=options, callback=callback, help=text))


def program(command: click.Command) -> Callable[[], NoReturn]:
    """A function that runs a command and ends the process, as `main_function` says."""

    def main() -> NoReturn:
        redact_output()
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        # What ails a database is raised, too, and told in one line.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        try:
            command.main(standalone_mode=False)
        except click.ClickException as error:
            _end(error.format_message(), 2)
        except click.Abort:
            _end("interrupted", 130)
        except Interrupted as error:
            _end(str(error), 128 + error.signum)
        except SignalReceived as error:
            _end("", 128 + error.signum)
        except Exception as error:
            if not isinstance(error, (StockpredError, PipelineError)) and not _is_outside(error):
                raise
            # In a chain, the chain says it: the line is on the run, where there was one by then.
            line, told = one_line(error), ENV_IN_CHAIN in os.environ
            if told and not hasattr(error, "is_logged"):
                told = append_error(line)
            _end("" if told else line, error.exit_code if isinstance(error, PipelineError) else 1)
        _end("", 0)

    main.command = command  # type: ignore[attr-defined]
    return main


def _is_outside(error: Exception) -> bool:
    """A full disk, a server that does not answer: theirs to mend, not a bug of ours."""
    if isinstance(error, OSError):
        return True
    if isinstance(error, ModuleNotFoundError):  # a store's package that nobody has installed
        return not (ROOT / str(error.name).partition(".")[0]).exists()
    # By name: neither is imported where it is not used.
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"MlflowException", "SQLAlchemyError"})


def _end(message: str, code: int) -> NoReturn:
    if message:
        logger.error(" ".join(message.split()), extra={"event": "error"})
    remove_clone(ROOT)
    sys.exit(code)
