"""Resolve a branch, a tag or a full commit of a git server to a commit.

`python -m pipeline.git.resolve_ref URL REF` prints it, or one line that says why not. It needs git
and nothing else.
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

SILENCE = 30  # seconds that an http(s) server may send nothing
LONGEST = 300  # seconds for all of it, over any transport
HELPER = "check the URL, and git's credential helper (docs/operations.md)"
NO_REF = "{url}: no branch, tag or full commit {ref!r} there"
# Words of git on stderr -> what they mean; {url} and {ref} are put in.
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
    "Operation too slow": f"{{url}}: takes the connection and says nothing for {SILENCE} s",
    "Couldn't connect": "{url}: no answer",
    "Connection refused": "{url}: no answer",
    "Permission denied (": "{url}: refuses the key that ssh has",
    "Host key verification failed": "{url}: ssh does not know this host; add it to known_hosts",
    "is not a git command": "{url}: no kind of URL that git knows",
}


class UnresolvedRef(PipelineError):
    """A git server has no such repository or commit for us, or there is no git."""


def resolve_commit(url: str, ref: str) -> str:
    """Full hash of the commit that `mlflow run URL -v REF` would run.

    Fetched as MLflow does, so that what this finds MLflow finds.

    Raises
    ------
    UnresolvedRef
        One line without the password that the URL may hold.
    """
    if drop_misread_passwords(url) != url:
        raise UnresolvedRef(
            f"{public_url(url)}: git takes a password for a port and a path where it holds one of "
            "/ ? #; give these as %2F %3F %23, or better none in the URL (docs/operations.md)"
        )
    url, _, _ = url.partition("#")
    if not url.isprintable():
        raise UnresolvedRef(f"{public_url(url)!r}: a URL is one line of plain text")
    if ":" in ref or ref.startswith(("+", "^")):  # git would take it for more than a name
        raise UnresolvedRef(NO_REF.format(url=public_url(url), ref=ref))
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    patience = ("-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={SILENCE}")
    with scratch_folder("gitref") as folder:

        def git(*words: str) -> str:
            code, told, complaint = _ended(["git", *patience, *words], folder, env)
            if code != 0:
                raise UnresolvedRef(_meaning(complaint, url, ref))
            return told.strip()

        try:
            git("init", "--quiet", "--bare")
            git("fetch", "--quiet", "--depth=1", "--", url, ref)
            return git("rev-parse", "FETCH_HEAD^{commit}")
        except OSError as error:
            raise UnresolvedRef("git: cannot be started; install git and put it on PATH") from error
        except subprocess.TimeoutExpired as error:
            raise UnresolvedRef(f"{public_url(url)}: no answer in {LONGEST} s") from error


def _ended(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; whom git has started, as ssh, ends with it in any case."""
    # In a session of its own nobody can ask the terminal either.
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
            out, err = process.communicate(timeout=LONGEST)
        except BaseException:
            process.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, out, err


def _meaning(said: str, url: str, ref: str) -> str:
    clean = public_url(url)
    for words, meaning in MEANINGS.items():
        if words in said:
            return meaning.format(url=clean, ref=ref)
    lines = [line for line in said.splitlines() if line.strip()] or ["git said nothing"]
    # Advice comes after what went wrong.
    told = next((line for line in lines if line.startswith("fatal: ")), lines[-1])
    return f"{clean}: {redact(told.replace(url, clean))}"


def _stop(signum: int, frame: object) -> None:
    """End as an error does: git, which is in a session of its own, and its folder go, too."""
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
