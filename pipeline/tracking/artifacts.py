"""Artifacts of runs: their location, their hashes, their verification and download."""

import errno
import os
import resource
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from pipeline.errors import InputError
from pipeline.file_hashes import digest, file_sha256
from pipeline.step import MODEL
from pipeline.tags import TAG_DAMAGED, TAG_MODEL_URI, TAG_OUTPUT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

MAX_BYTES = 4 << 30  # of one downloaded file
MODEL_FOLDERS = ("code", "artifacts")  # of a logged model, whose files are in its digest


def local_folder(uri: str) -> Path | None:
    """Return the folder that MLflow takes a URI or path of a store for; None for a remote one.

    In a path, too, MLflow reads a percent sign and two digits as one character.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(url2pathname(uri)) if not parts.scheme else None


def model_digest(folder: Path) -> str:
    """Return the hex sha256 over a logged model's code, estimator and signature.

    Over the sorted (path, sha256) of its files and the signature in MLmodel. Ids, times and
    environment files are left out, so that the same fit twice has the same digest.
    """
    import yaml

    meta = yaml.safe_load((folder / "MLmodel").read_text())
    pairs = [("signature", repr(meta.get("signature")))]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        is_part = name.parts[0] in MODEL_FOLDERS or path.suffix == ".py"
        if is_part and path.is_file() and "__pycache__" not in name.parts:
            pairs.append((name.as_posix(), file_sha256(path)))
    return digest(pairs)


def output_hashes(tags: dict[str, str]) -> dict[str, str]:
    """Return artifact -> sha256 from a run's tags."""
    start = len(TAG_OUTPUT)
    return {name[start:]: value for name, value in tags.items() if name.startswith(TAG_OUTPUT)}


def is_intact(client: "MlflowClient", run: "Run") -> bool:
    """Return whether every output that a run's tags name is still what the run wrote.

    Compares hashes in a store on this machine. In a remote store it checks existence: a step that
    downloads an artifact compares its hash (`fetch`), and tags the run where that differs.
    """
    from mlflow.exceptions import MlflowException

    if TAG_DAMAGED in run.data.tags:
        return False
    outputs = output_hashes(run.data.tags)
    try:
        model = outputs.pop(MODEL, None)
        return _files_intact(run, outputs) and (model is None or _model_intact(client, run, model))
    except (MlflowException, OSError, InputError):
        return False  # a store that cannot read the artifact counts as one that lost it


def _files_intact(run: "Run", outputs: dict[str, str]) -> bool:
    folder = local_folder(run.info.artifact_uri)
    if folder is None:
        return set(outputs) <= _listed(run.info.artifact_uri, outputs)
    paths = {folder / name: sha for name, sha in outputs.items()}
    return all(path.is_file() and file_sha256(path) == sha for path, sha in paths.items())


def _model_intact(client: "MlflowClient", run: "Run", sha256: str) -> bool:
    model_id = run.data.tags[TAG_MODEL_URI].removeprefix("models:/")
    location = client.get_logged_model(model_id).artifact_location
    folder = local_folder(location)
    if folder is None:
        return "MLmodel" in _listed(location, ["MLmodel"])
    return folder.is_dir() and model_digest(folder) == sha256


def artifact_repository(run: "Run") -> "ArtifactRepository":
    """Return the repository of a run's artifacts, without a call to the tracking store."""
    import mlflow

    from pipeline.tracking.mlflow_private import get_artifact_repository

    return get_artifact_repository(run.info.artifact_uri, tracking_uri=mlflow.get_tracking_uri())


def _listed(uri: str, names: Iterable[str]) -> set[str]:
    """List the non-empty files in the folders of some names; one call a folder.

    Not by the client, which would get the run or model again each time.
    """
    from pipeline.tracking.mlflow_private import get_artifact_repository

    store = get_artifact_repository(uri)
    folders = {str(Path(name).parent).rstrip(".") for name in names}
    files = (file for folder in folders for file in store.list_artifacts(folder or None))
    return {file.path for file in files if file.file_size}


def fetch(
    client: "MlflowClient",
    uri: str,
    root: Path,
    into: Path,
    *,
    get_run: "Callable[[str], Run] | None" = None,
) -> Path:
    """Bring an input to this machine.

    Over http(s) retried as `idempotent_store.retry` and MLflow's own client say.

    Parameters
    ----------
    client : MlflowClient
    uri : str
        A path (relative to `root`), or any URI that MLflow downloads from; ``runs:/`` artifacts
        are compared with the hash on the run that wrote them.
    root : Path
        The project's folder.
    into : Path
        Folder for downloads; an artifact in a local store is not copied.
    get_run : callable, optional
        Run id -> run, of a caller that has read some; default: the client's.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    InputError
        No file, other bytes than the producer wrote, a name that leads out of the run's artifacts,
        or more than `MAX_BYTES`.
    """
    from mlflow.exceptions import MlflowException

    if (scheme := urlsplit(uri).scheme) in ("", "file"):
        path = root / (url2pathname(urlsplit(uri).path) if scheme else uri)
        if not path.is_file():
            raise _no_file(uri, path.resolve())
        return path
    try:
        if uri[:6].lower() == "runs:/":
            run_id, _, artifact = uri[6:].partition("/")
            run = (get_run or client.get_run)(run_id)
            folder = local_folder(run.info.artifact_uri)
            _check_name(uri, artifact)
            # By the run's artifact URI: by its id MLflow would get the run twice more.
            location = f"{run.info.artifact_uri}/{artifact}"
            path = path_inside(folder, artifact) if folder else _download(location, into)
            expected = run.data.tags.get(TAG_OUTPUT + artifact)
            if expected is not None and path.is_file() and file_sha256(path) != expected:
                # In a remote store `is_intact` cannot see this: tell the cache.
                client.set_tag(run_id, TAG_DAMAGED, artifact)
                raise InputError(
                    repr(uri),
                    expected=f"the bytes that its run wrote (sha256 {expected[:12]}...)",
                    got="others",
                    fix="run the chain again, which makes a damaged artifact anew",
                )
        else:
            path = _download(uri, into)
    except (MlflowException, OSError, ValueError, ModuleNotFoundError) as error:
        # ValueError: a URI of no store; no module: a store whose package is not installed
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            repr(uri),
            expected="an artifact that can be read",
            got=reason,
            fix="give an existing one",
        ) from error
    if not path.is_file():
        raise _no_file(uri, path)
    return path


def shared_location(client: "MlflowClient", uri: str, root: Path) -> str:
    """Return where other machines read an input, without MLflow.

    Parameters
    ----------
    client : MlflowClient
    uri : str
        As `fetch` takes it.
    root : Path
        The project's folder.

    Returns
    -------
    str
        Absolute path, or URI of a store.

    Raises
    ------
    InputError
        Only the tracking server hands it out.
    """
    location = uri
    if uri[:6].lower() == "runs:/":
        run_id, _, artifact = uri[6:].partition("/")
        location = f"{client.get_run(run_id).info.artifact_uri}/{artifact}"
    if urlsplit(location).scheme in ("mlflow-artifacts", "models", "dbfs"):
        raise InputError(
            repr(location),
            expected="an artifact that workers of a cluster can read without MLflow",
            got="one that only the tracking server hands out",
            fix="give engine=local, or an experiment whose artifacts are on a shared folder, "
            "s3:// or gs://",
        )
    path = local_folder(location)
    return location if path is None else str((root / path).resolve())


def _no_file(uri: str, path: Path) -> InputError:
    return InputError(f"{uri!r}: no such file ({path})", fix="give an existing one")


def _check_name(uri: str, artifact: str) -> None:
    path = PurePosixPath(unquote(artifact))
    is_out = not path.parts or path.parts[0] == "/" or ".." in path.parts
    # Another spelling would skip the comparison: the hash's tag has the name as it was written.
    if is_out or artifact != path.as_posix() or not {"\\", "?", "#"}.isdisjoint(artifact):
        raise InputError(
            repr(uri), expected="runs:/<run id>/<artifact>", got=f"{artifact!r}", fix="give a name"
        )


def path_inside(folder: Path, name: str) -> Path:
    """Return the path of a name in a folder.

    Raises
    ------
    InputError
        The name leads out of the folder, by itself or by a link.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            repr(name), expected=f"a name inside {folder}", got="one outside", fix="give another"
        )
    return path


def _download(uri: str, into: Path) -> Path:
    """Download one file of at most `MAX_BYTES` into a folder, and nothing outside it."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        with limit_file_size():
            path = Path(download_artifacts(uri, dst_path=str(into)))
    except (MlflowException, OSError) as error:
        if os.strerror(errno.EFBIG) not in str(error):
            raise
        size = f"at most {MAX_BYTES:,} bytes"
        raise InputError(repr(uri), expected=size, got="more", fix="split it") from error
    return path_inside(into, str(path.absolute()))


@contextmanager
def limit_file_size() -> Iterator[None]:
    """Limit each file that this process writes within the block to `MAX_BYTES`, by the kernel.

    MLflow downloads without a limit, and a server may announce another size than it sends.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = MAX_BYTES if soft == resource.RLIM_INFINITY else min(MAX_BYTES, soft)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; sync and rename it when the block succeeds."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
