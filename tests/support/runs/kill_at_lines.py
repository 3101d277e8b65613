"""Signals sent to a process at one line after another of some modules.

`kill_at_every_line` is for a script with one thread, run by `run_script`: each try is a fork of it.
"""

import atexit
import dis
import json
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple, NoReturn

from tests.support.paths import ROOT
from tests.support.python_processes import run_python

NOP = dis.opmap["NOP"]


class Try(NamedTuple):
    """The result of one fork.

    Attributes
    ----------
    line : int
        Number of the line among those executed, from 1.
    where : str
        Module and line; empty if the work ended before.
    code : int
        Exit code as of `os.waitstatus_to_exitcode`.
    """

    line: int
    where: str
    code: int


def kill_at_every_line(
    work: Callable[[], object],
    modules: Collection[ModuleType],
    signum: int,
    stride: int = 1,
    again: int = 0,
    before: Callable[[], object] = lambda: None,
) -> Iterator[Try]:
    """Fork for every `stride`-th line, until a fork ends before its line: the last.

    Parameters
    ----------
    work : callable
        Run by each fork, exit handlers included, as by an interpreter.
    modules : collection of module
        Modules whose lines count.
    signum : int
        Signal that the fork sends to itself.
    stride : int
        Lines between two tries.
    again : int
        Lines until the signal is sent once more; 0: never.
    before : callable
        Called before each fork.

    Yields
    ------
    Try
    """
    line = 1
    while True:
        before()
        sys.stdout.flush()
        sys.stderr.flush()
        ours, theirs = os.pipe()
        if not (pid := os.fork()):
            os.close(ours)
            _run_fork(
                work, _Tracer({module.__file__ for module in modules}, signum, line, again, theirs)
            )
        os.close(theirs)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.set_blocking(ours, False)  # a child of the fork may hold the other end
        try:
            where = os.read(ours, 1 << 12).decode().strip()
        except BlockingIOError:
            where = ""
        os.close(ours)
        yield Try(line, where, code)
        if not where:
            return
        line += stride


def _run_fork(work: Callable[[], object], tracer: "_Tracer") -> NoReturn:
    code = 0
    try:
        # Forks of the work get no signal.
        os.register_at_fork(after_in_child=lambda: sys.settrace(None))
        sys.settrace(tracer.trace)
        work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        try:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        finally:
            os._exit(code)


class _Tracer:
    def __init__(
        self, files: Collection[str | None], signum: int, line: int, again: int, pipe: int
    ) -> None:
        self._files, self._signum, self._pipe = files, signum, pipe
        self._left, self._again = line, again

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if code.co_filename not in self._files:
            return None
        # In what does nothing, such as `try:`, Python never looks for signals.
        if event == "line" and code.co_code[frame.f_lasti] != NOP:
            self._left -= 1
            if self._left == 0:
                os.write(self._pipe, f"{Path(code.co_filename).stem}:{frame.f_lineno} ".encode())
                self._left, self._again = self._again, 0
                if self._left:
                    sys.setprofile(self._take_up)
                os.kill(os.getpid(), self._signum)
        return self.trace

    def _take_up(self, frame: FrameType | None, event: str, arg: object) -> None:
        """Python traces no more when what a signal's handler raises has come out of `trace`."""
        sys.setprofile(None)
        while frame is not None:
            if frame.f_code.co_filename in self._files:
                frame.f_trace = self.trace
            frame = frame.f_back
        sys.settrace(self.trace)


def run_script(script: str, *words: object, env: Mapping[str, str], cwd: Path = ROOT) -> list[Any]:
    """Run a script and return its output, one JSON value a line."""
    done = run_python(
        ["-c", script, *map(str, words)],
        env={**os.environ, **env, "PYTHONPATH": f"{cwd}{os.pathsep}{ROOT}"},
        cwd=cwd,
        timeout=3600,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
