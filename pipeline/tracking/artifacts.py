"""Artifacts of runs: where they lie, what their bytes are, and whether they still are."""

import errno
import os
import resource
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from pipeline.errors import InputError
from pipeline.hashing import digest, file_sha256
from pipeline.step import MODEL
from pipeline.tags import TAG_DAMAGED, TAG_MODEL_URI, TAG_OUTPUT

MAX_BYTES = 4 << 30  # of one file that is downloaded

# What a model is, apart from the ids and times that MLflow writes into its MLmodel file.
MODEL_FOLDERS = ("code", "artifacts")


def local_folder(uri: str) -> Path | None:
    """The folder that a `file:` URI or a plain path names; None for a remote store."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(uri) if not parts.scheme else None


def model_digest(folder: Path) -> str:
    """Hex sha256 over the sorted (path, sha256) of a logged model's code, estimator, signature.

    The signature is the one in MLmodel; ids, times and environment files are left out, so that
    the same fit twice gives the same digest.
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
    """Artifact -> sha256, as a run's tags tell."""
    start = len(TAG_OUTPUT)
    return {name[start:]: value for name, value in tags.items() if name.startswith(TAG_OUTPUT)}


def is_intact(client: Any, run: Any) -> bool:
    """Whether every output that a run's tags name is still what the run wrote.

    By hash where the store is on this machine; by presence where it is remote: there a step that
    downloads an artifact checks its hash (`fetch`), and tags the run where it is another.
    """
    if TAG_DAMAGED in run.data.tags:
        return False
    outputs = output_hashes(run.data.tags)
    try:
        model = outputs.pop(MODEL, None)
        return _files_intact(run, outputs) and (model is None or _model_intact(client, run, model))
    except Exception as error:
        # A store that cannot show the artifact is as good as one that lost it.
        from mlflow.exceptions import MlflowException

        if isinstance(error, (MlflowException, OSError, InputError)):
            return False
        raise


def _files_intact(run: Any, outputs: dict[str, str]) -> bool:
    folder = local_folder(run.info.artifact_uri)
    if folder is None:
        return set(outputs) <= _listed(run.info.artifact_uri, outputs)
    paths = {folder / name: sha for name, sha in outputs.items()}
    return all(path.is_file() and file_sha256(path) == sha for path, sha in paths.items())


def _model_intact(client: Any, run: Any, sha256: str) -> bool:
    model_id = run.data.tags[TAG_MODEL_URI].removeprefix("models:/")
    location = client.get_logged_model(model_id).artifact_location
    folder = local_folder(location)
    if folder is None:
        return "MLmodel" in _listed(location, ["MLmodel"])
    return folder.is_dir() and model_digest(folder) == sha256


def _listed(uri: str, names: Iterable[str]) -> set[str]:
    """Files with any bytes in the folders of a remote store that names lie in; a call a folder.

    Not by the client, which asks for the run's or model's place again each time.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    store = get_artifact_repository(uri)
    folders = {str(Path(name).parent).rstrip(".") for name in names}
    found = (item for folder in folders for item in store.list_artifacts(folder or None))
    return {item.path for item in found if item.file_size}


def fetch(client: Any, uri: str, root: Path, into: Path) -> Path:
    """Bring an input to this machine and return its path.

    Parameters
    ----------
    uri : str
        A path (relative to `root`), or any URI that MLflow downloads from; ``runs:/`` artifacts
        are checked against the hash on the run that wrote them.
    into : Path
        Folder that a download goes to; an artifact in a local store is read where it lies.

    Raises
    ------
    InputError
        Nothing there, not the bytes that the producer wrote, a name that leads out of the run's
        artifacts, or more than `MAX_BYTES`.
    """
    from mlflow.exceptions import MlflowException

    if urlsplit(uri).scheme in ("", "file"):
        folder = local_folder(uri)
        path = root / (folder or uri)
        if not path.is_file():
            raise InputError(f"{uri!r}: no such file ({path.resolve()}); give an existing one")
        return path
    try:
        if uri[:6].lower() == "runs:/":
            run_id, _, artifact = uri[6:].partition("/")
            run = client.get_run(run_id)
            folder = local_folder(run.info.artifact_uri)
            _check_name(uri, artifact)
            # By the run's place: by its id MLflow would ask for that twice more.
            place = f"{run.info.artifact_uri}/{artifact}"
            path = path_inside(folder, artifact) if folder else _download(place, into)
            expected = run.data.tags.get(TAG_OUTPUT + artifact)
            if expected is not None and path.is_file() and file_sha256(path) != expected:
                # A remote store shows presence alone: now the cache knows better.
                client.set_tag(run_id, TAG_DAMAGED, artifact)
                raise InputError(
                    f"{uri!r}: its bytes are not those its run wrote (sha256 {expected[:12]}...); "
                    "run the chain again, it makes a damaged artifact anew"
                )
        else:
            path = _download(uri, into)
    except (MlflowException, OSError, ValueError, ModuleNotFoundError) as error:
        # ValueError: a URI of no store; no module: a store whose package is not installed
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{uri!r}: cannot be read ({reason}); give an existing one") from error
    if not path.is_file():
        raise InputError(f"{uri!r}: no such file ({path}); give an existing one")
    return path


def _check_name(uri: str, artifact: str) -> None:
    path = PurePosixPath(unquote(artifact))
    is_out = not path.parts or path.parts[0] == "/" or ".." in path.parts
    # By another spelling of its name an artifact would pass unchecked: its hash is under its own.
    if is_out or artifact != path.as_posix() or not {"\\", "?", "#"}.isdisjoint(artifact):
        raise InputError(f"{uri!r}: no name of an artifact; give runs:/<run id>/<artifact>")


def path_inside(folder: Path, name: str) -> Path:
    """The path of a name in a folder.

    Raises
    ------
    InputError
        It leads out of the folder, by itself or by a link.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{name!r}: leads out of {folder}; give what lies in it")
    return path


def _download(uri: str, into: Path) -> Path:
    """Download one file, whatever its server sends at most `MAX_BYTES`, and into `into` alone."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        with limit_file_size():
            path = Path(download_artifacts(uri, dst_path=str(into)))
    except (MlflowException, OSError) as error:
        if os.strerror(errno.EFBIG) not in str(error):
            raise
        size = f"{MAX_BYTES:,} bytes"
        raise InputError(f"{uri!r}: is over {size}, more than is downloaded; split it") from error
    return path_inside(into, str(path.absolute()))


@contextmanager
def limit_file_size(size: int | None = None) -> Iterator[None]:
    """Within the block the kernel lets no file that this process writes grow beyond a size.

    MLflow downloads without a limit of its own, and a server may tell another size than it sends.

    Parameters
    ----------
    size : int, optional
        In bytes; None: `MAX_BYTES`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wanted = MAX_BYTES if size is None else size
    limit = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; sync and rename it when the block ends well."""
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
