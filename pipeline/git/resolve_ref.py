"""Resolution of a branch, a tag or a full commit of a git server to a commit.

`python -m pipeline.git.resolve_ref URL REF` prints the commit, or one line with the reason why not.
It needs git and Python's standard library.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.log.redact import drop_misread_passwords, public_url, redact
from pipeline.process.scratch import scratch_folder

SILENCE_TIMEOUT = 30  # seconds that an http(s) server may send nothing
TIMEOUT = 300  # seconds for each git command, over any transport
HELPER = "check the URL, and git's credential helper (docs/operations.md)"
NETWORK = "check the URL and the network"
NO_REF = ("a branch, a tag or a full commit of it", "{ref!r}", "check the ref")
NO_ANSWER = ("an answer", "none", NETWORK)
NO_PASSWORD = ("a password from git", "none", HELPER)
# Fragment of git's stderr -> expected, got, fix; the subject is the URL.
MEANINGS = {
    "couldn't find remote ref": NO_REF,
    "invalid refspec": NO_REF,
    "not our ref": ("a commit that the server hands out", "{ref!r}", "check the commit"),
    "could not read Username": NO_PASSWORD,
    "could not read Password": NO_PASSWORD,
    "Authentication failed": ("a password that the server accepts", "another", HELPER),
    "returned error: 403": (
        "a repository that this user may read",
        "status 403",
        "check the URL and the user's rights",
    ),
    "not found": ("a repository that this user may see", "none", HELPER),
    "does not appear to be a git repository": ("a repository", "none", "check the URL"),
    "Could not resolve host": ("a known host", "an unknown one", NETWORK),
    "unable to connect": NO_ANSWER,
    "Failed to connect": NO_ANSWER,
    "Operation too slow": (
        "an answer",
        f"a connection without data for {SILENCE_TIMEOUT} s",
        "try again later",
    ),
    "Couldn't connect": NO_ANSWER,
    "Connection refused": NO_ANSWER,
    "Permission denied (": ("an ssh key that the server accepts", "none", "check the ssh agent"),
    "Host key verification failed": ("a host that ssh knows", "another", "add it to known_hosts"),
    "is not a git command": ("a kind of URL that git knows", "another", "give an https URL"),
}


def resolve_commit(url: str, ref: str) -> str:
    """Return the commit that `mlflow run URL -v REF` would run.

    Fetches as MLflow does, so that both find the same. No retry; each git command ends after
    `TIMEOUT`, over http(s) after `SILENCE_TIMEOUT` without data.

    Parameters
    ----------
    url : str
        Of a git server; what follows ``#`` is ignored.
    ref : str
        Branch, tag, or full hash of a commit.

    Returns
    -------
    str
        Full hash.

    Raises
    ------
    PipelineError
        No such repository or ref for this user, no answer, or no git; without a password that the
        URL may hold.
    """
    if drop_misread_passwords(url) != url:
        raise PipelineError(
            public_url(url),
            expected="a password without / ? #",
            got="one that git misreads as a port and a path",
            fix="give these as %2F %3F %23, or better give no password (docs/operations.md)",
        )
    url, _, _ = url.partition("#")
    shown = public_url(url)
    if not url.isprintable():
        raise PipelineError(
            repr(shown), expected="printable text", got="other characters", fix="check the URL"
        )
    if ":" in ref or ref.startswith(("+", "^")):  # git would read it as more than a name
        raise _failure("invalid refspec", url, ref)
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    limits = ("-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={SILENCE_TIMEOUT}")
    with scratch_folder("gitref") as folder:

        def git(*words: str) -> str:
            code, output, errors = _run(["git", *limits, *words], folder, env)
            if code != 0:
                raise _failure(errors, url, ref)
            return output.strip()

        try:
            git("init", "--quiet", "--bare")
            git("fetch", "--quiet", "--depth=1", "--", url, ref)
            return git("rev-parse", "FETCH_HEAD^{commit}")
        except OSError as error:
            raise PipelineError(
                "git",
                expected="a program on PATH",
                got="none that can be started",
                fix="install git and put it on PATH",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise PipelineError(
                shown, expected="an answer", got=f"none in {TIMEOUT} s", fix=NETWORK
            ) from error


def _run(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr; children of git, such as ssh, always end with it."""
    # In a session of its own no child can prompt on the terminal either.
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, out, err


def _failure(errors: str, url: str, ref: str) -> PipelineError:
    """Translate git's stderr into an error without the URL's password."""
    shown = public_url(url)
    for fragment, (expected, got, fix) in MEANINGS.items():
        if fragment in errors:
            return PipelineError(shown, expected=expected, got=got.format(ref=ref), fix=fix)
    lines = [line for line in errors.splitlines() if line.strip()] or ["no reason"]
    # git's advice comes after the error.
    error = next((line for line in lines if line.startswith("fatal: ")), lines[-1])
    return PipelineError(
        shown,
        expected="a repository to fetch from",
        got=redact(error.replace(url, shown)).rstrip("."),
        fix="check the URL and the ref",
    )


def _stop(signum: int, frame: object) -> None:
    """Exit as on an error, so that git, in a session of its own, and its folder go, too."""
    signal.signal(signum, signal.SIG_IGN)
    sys.exit(128 + signum)


def main() -> int:
    """Print the commit; exit code 1 with one line on stderr where there is none."""
    if len(sys.argv) != 3:
        sys.stderr.write(
            f"error: arguments: expected 2, got {len(sys.argv) - 1}. "
            "Fix: give a git URL, and a branch, a tag or a full commit.\n"
        )
        return 2
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _stop)
    try:
        sys.stdout.write(resolve_commit(*sys.argv[1:]) + "\n")
    except PipelineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
