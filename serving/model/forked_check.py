"""Check of a stored model in a fork of this process, which has the imports already.

A new process pays 3 s of CPU to import MLflow and scikit-learn. The fork is made before this
process reads data or fits anything: it has no pool of threads then, and a library's threads do not
survive a fork. Before it loads the model it drops the checkout's modules, as the model server does.
"""

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from serving.model.example_check import check_example
from serving.model.predict_worker import answer, load
from serving.project import ROOT

TIMEOUT = 120.0  # seconds for the answer of the fork


@contextmanager
def forked_check() -> Iterator[Callable[[Path], str | None]]:
    """Fork this process, and yield the check of a model's folder: its example, bit for bit.

    Yields
    ------
    callable
        Folder of a model -> its problem in a few words, or None. Where the fork gives no answer,
        and on macOS, whose libraries do not survive a fork, a new process gives it.
    """
    if sys.platform == "darwin":
        yield lambda folder: check_example(folder, tolerance=0.0)
        return
    ours, theirs = Pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that of a heartbeat's thread
        pid = os.fork()
    if pid == 0:
        ours.close()
        _serve(theirs)
    theirs.close()

    def check(folder: Path) -> str | None:
        with contextlib.suppress(EOFError, OSError):
            ours.send(folder)
            if ours.poll(TIMEOUT):
                reason: str | None = ours.recv()
                return reason
        return check_example(folder, tolerance=0.0)

    try:
        yield check
    finally:
        ours.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)  # it has nothing to lose
            os.waitpid(pid, 0)


def _serve(channel: Connection) -> NoReturn:
    """Check the folders that come until the channel closes, as it does when the parent dies."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_DFL)
    try:
        while True:
            folder = channel.recv()
            os.dup2(2, 1)  # prints of libraries
            os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
            channel.send(_reason(folder))
    finally:
        os._exit(0)


def _reason(folder: Path) -> str | None:
    try:
        return check_example(folder, _predict, tolerance=0.0)
    except Exception as error:  # whatever the model's own code raises
        return f"it cannot be loaded ({type(error).__name__}: {' '.join(str(error).split())[:500]})"


def _predict(folder: Path, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    _drop_checkout()
    model = load(str(folder)).unwrap_python_model()
    for table in tables:
        yield answer(model, table, False)


def _drop_checkout() -> None:
    """Remove the checkout's modules and path, so that a model finds only its own code."""
    ours, environment = f"{ROOT}{os.sep}", f"{sys.prefix}{os.sep}"
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith(ours) and not file.startswith(environment) and name != "__main__":
            del sys.modules[name]
    os.chdir("/")
    sys.path[:] = [path for path in sys.path if path and Path(path).resolve() != ROOT]
