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
NO_REF = "{url}: no branch, tag or full commit {ref!r} there"
# Fragment of git's stderr -> message, with fields {url} and {ref}.
MEANINGS = {
    "couldn't find remote ref": NO_REF,
    "invalid refspec": NO_REF,
    "not our ref": "{url}: no commit {ref!r} that the server hands out",
    "could not read Username": "{url}: asks for a password, and git has none; " + HELPER,
    "could not read Password": "{url}: asks for a password, and git has none; " + HELPER,
    "Authentication failed": "{url}: refuses the password that git has; " + HELPER,
    "returned error: 403": "{url}: forbids it to this user (403)",
    "not found": "{url}: no repository there, or none that this user may see",
    "does not appear to be a git repository": "{url}: no repository there",
    "Could not resolve host": "{url}: no such host",
    "unable to connect": "{url}: no answer",
    "Failed to connect": "{url}: no answer",
    "Operation too slow": f"{{url}}: takes the connection and says nothing for {SILENCE_TIMEOUT} s",
    "Couldn't connect": "{url}: no answer",
    "Connection refused": "{url}: no answer",
    "Permission denied (": "{url}: refuses the key that ssh has",
    "Host key verification failed": "{url}: ssh does not know this host; add it to known_hosts",
    "is not a git command": "{url}: no kind of URL that git knows",
}


class UnresolvedRef(PipelineError):
    """No commit: no such repository or ref for this user, no answer, or no git."""


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
    UnresolvedRef
        One line, without a password that the URL may hold.
    """
    if drop_misread_passwords(url) != url:
        raise UnresolvedRef(
            f"{public_url(url)}: git misreads a password with / ? or # as a port and a path",
            fix="give these as %2F %3F %23, or better no password (docs/operations.md)",
        )
    url, _, _ = url.partition("#")
    if not url.isprintable():
        raise UnresolvedRef(
            repr(public_url(url)), expected="printable text", got="other characters", fix="check it"
        )
    if ":" in ref or ref.startswith(("+", "^")):  # git would read it as more than a name
        raise UnresolvedRef(NO_REF.format(url=public_url(url), ref=ref))
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    limits = ("-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={SILENCE_TIMEOUT}")
    with scratch_folder("gitref") as folder:

        def git(*words: str) -> str:
            code, output, errors = _run(["git", *limits, *words], folder, env)
            if code != 0:
                raise UnresolvedRef(_explain(errors, url, ref))
            return output.strip()

        try:
            git("init", "--quiet", "--bare")
            git("fetch", "--quiet", "--depth=1", "--", url, ref)
            return git("rev-parse", "FETCH_HEAD^{commit}")
        except OSError as error:
            raise UnresolvedRef(
                "git: cannot be started", fix="install git and put it on PATH"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise UnresolvedRef(f"{public_url(url)}: no answer in {TIMEOUT} s") from error


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
            process.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, out, err


def _explain(errors: str, url: str, ref: str) -> str:
    clean = public_url(url)
    for fragment, meaning in MEANINGS.items():
        if fragment in errors:
            return meaning.format(url=clean, ref=ref)
    lines = [line for line in errors.splitlines() if line.strip()] or ["git gave no reason"]
    # git's advice comes after the error.
    error = next((line for line in lines if line.startswith("fatal: ")), lines[-1])
    return f"{clean}: {redact(error.replace(url, clean))}"


def _stop(signum: int, frame: object) -> None:
    """Exit as on an error, so that git, in a session of its own, and its folder go, too."""
    signal.signal(signum, signal.SIG_IGN)
    sys.exit(128 + signum)


def main() -> int:
    """Print the commit; exit code 1 with one line on stderr where there is none."""
    if len(sys.argv) != 3:
        sys.stderr.write("error: give a git URL, and a branch, a tag or a full commit\n")
        return 2
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _stop)
    try:
        sys.stdout.write(resolve_commit(*sys.argv[1:]) + "\n")
    except UnresolvedRef as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
