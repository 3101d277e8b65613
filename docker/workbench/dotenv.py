"""Write .env, the workbench's secrets and settings, if it is missing; print the addresses.

    python3 docker/workbench/dotenv.py              # write .env, or check an existing one
    python3 docker/workbench/dotenv.py --addresses  # print the addresses for a browser

Needs only Python: it runs on the host, before the environment exists.
"""

import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ("POSTGRES_PASSWORD", "JUPYTER_TOKEN")
SHORTEST = 16  # characters of a secret in .env


def main(arguments: "list[str]") -> int:
    """Run a command; return 1 and print one line on stderr if .env is invalid."""
    path = ROOT / ".env"
    try:
        if arguments == ["--addresses"]:
            sys.stdout.write(addresses(path))
        else:
            ensure(path)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def ensure(path: Path) -> None:
    """Write `path` with new secrets, readable only by its owner; keep an existing file.

    Raises
    ------
    ValueError
        An existing file lacks one of the secrets.
    """
    if path.exists():
        _check(path)
        return
    uid, gid = _owner(path.parent)
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    values = {name: secrets.token_urlsafe(32) for name in SECRETS}
    values.update(WORKBENCH_UID=str(uid), WORKBENCH_GID=str(gid))
    lines = [_filled(line, values) for line in example.splitlines()]
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(partial, flags, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.link(partial, path)  # atomic, and never replaces an existing file
    except FileExistsError:
        _check(path)
    finally:
        partial.unlink(missing_ok=True)


def addresses(path: Path) -> str:
    """Return the two addresses, one a line, JupyterLab's with the token."""
    values = {**read(path), **os.environ}
    jupyter, mlflow = values.get("JUPYTER_PORT") or "8888", values.get("MLFLOW_PORT") or "5000"
    return (
        f"JupyterLab  http://127.0.0.1:{jupyter}/lab/tree/notebooks?token={values['JUPYTER_TOKEN']}\n"
        f"MLflow      http://127.0.0.1:{mlflow}\n"
    )


def read(path: Path) -> "dict[str, str]":
    """Parse a file of `NAME=value` lines, with comments as Compose reads them."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.split(" #")[0].strip().strip("\"'") for name, _, value in pairs}


def _check(path: Path) -> None:
    values = read(path)
    for name in SECRETS:
        if len(values.get(name, "")) < SHORTEST:
            raise ValueError(
                f"{path}: {name}: expected at least {SHORTEST} characters, got "
                f"{len(values.get(name, ''))}. Fix: give it a longer value, or move the file away "
                "to have a new one made."
            )


def _filled(line: str, values: "dict[str, str]") -> str:
    name = line.partition("=")[0]
    return f"{name}={values[name]}" if name in values else line


def _owner(folder: Path) -> "tuple[int, int]":
    """Return uid and gid of the checkout's owner; for root those of the image's user."""
    if not hasattr(os, "getuid"):
        return 1000, 1000
    owner = folder.stat()
    return (owner.st_uid, owner.st_gid) if owner.st_uid else (1000, 1000)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
