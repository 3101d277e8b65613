"""A logged model brought to this machine: a copy, refused where its run did not record it so.

A model is code, and loading it runs that code. What is checked here is that it is the code that
the run recorded which trained it, and that nothing else would be loaded: no pickle, no file beyond
the model's folder.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import InputError
from pipeline.registry.models import ResolvedModel, none_if_missing
from pipeline.step import MODEL
from pipeline.tags import TAG_OUTPUT
from pipeline.tracking.artifacts import limit_file_size, local_folder, model_digest

# With code of the model's own, which is checked, too, neither unpickles.
LOADERS = ("mlflow.pyfunc.loaders.code_model", "mlflow.pyfunc.model")
FLAVOR = "python_function"
CODE, ARTIFACTS = "code", "artifacts"


def fetch_model(client: Any, found: ResolvedModel, into: Path) -> Path:
    """Copy a model's files to a folder, and check them.

    Parameters
    ----------
    into : Path
        An empty folder.

    Raises
    ------
    InputError
        The files are gone, or refused (see `why_refused`).
    """
    if found.name is None:
        model = client.get_logged_model(found.uri.removeprefix("models:/"))
        location, run_id = model.artifact_location, model.source_run_id
    else:
        location = client.get_model_version_download_uri(found.name, found.version)
        run_id = client.get_model_version(found.name, found.version).run_id
    return fetch_files(client, found.uri, location, run_id, into)


def fetch_files(client: Any, uri: str, location: str, run_id: str | None, into: Path) -> Path:
    """As `fetch_model`, of a model whose place and run are known; `uri` is for messages."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    folder = local_folder(location)
    target = into / "model"
    try:
        if folder is None:
            with limit_file_size():
                target = Path(download_artifacts(location, dst_path=str(into)))
        else:
            # Links stay links, and are refused; bytecode could be of another source.
            shutil.copytree(folder, target, symlinks=True)
        for cache in [*target.rglob("__pycache__")]:
            if cache.is_dir() and not cache.is_symlink():
                shutil.rmtree(cache)
    except (MlflowException, OSError, shutil.Error) as error:
        reason = " ".join(str(error).split())[:500]
        raise InputError(f"{uri}: its files cannot be read ({reason}); train anew") from error
    if (why := why_refused(target, recorded_digest(client, run_id))) is not None:
        raise InputError(f"{uri}: refused, as {why}; register a model of train")
    return target.absolute()


def recorded_digest(client: Any, run_id: str | None) -> str | None:
    """The digest of its model that a run recorded, or None where there is none on record."""
    run = none_if_missing(lambda: client.get_run(run_id)) if run_id else None
    return run.data.tags.get(TAG_OUTPUT + MODEL) if run is not None else None


def why_refused(folder: Path, recorded: str | None) -> str | None:
    """Why a model's files must not be loaded, in a few words, or None.

    Taken are models from code alone: MLflow's own loader for them, code in the model's folder,
    and data in its `artifacts`. Every other flavour of MLflow's, and every other loader, may
    unpickle. Where the training run recorded a digest, the files must have it.
    """
    import yaml

    if link := next((path for path in folder.rglob("*") if path.is_symlink()), None):
        return f"{link.relative_to(folder)} is a link"
    try:
        flavors = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["flavors"]
        odd = next(_oddities(folder, flavors), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        return f"its MLmodel file cannot be read ({type(error).__name__})"
    if odd is not None:
        return f"it is no model from code alone ({odd})"
    if recorded is not None and (found := model_digest(folder)) != recorded:
        return (
            f"its files are not those that its run recorded (sha256 {found[:12]}..., "
            f"recorded {recorded[:12]}...)"
        )
    return None


def _oddities(folder: Path, flavors: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What would be loaded beside the model's code and its artifacts."""
    others = sorted(set(flavors) - {FLAVOR})
    if others or FLAVOR not in flavors:
        yield f"flavour {(others or ['none'])[0]!s}"[:80]
        return
    conf = flavors[FLAVOR]
    if conf.get("loader_module") not in LOADERS:
        yield f"loader {conf.get('loader_module')!s}"[:80]
    if "python_model" in conf or "data" in conf:
        yield "a pickled part"
    # MLflow takes the last part of the name, of a file in the model's folder.
    code = PurePosixPath(str(conf.get("model_code_path", "")))
    if code.suffix != ".py" or not (folder / code.name).is_file():
        yield "no code of its own"
    if conf.get("code") not in (None, CODE):
        yield "code out of its folder"
    for each in (conf.get("artifacts") or {}).values():
        path = PurePosixPath(each["path"])
        if path.parts[:1] != (ARTIFACTS,) or ".." in path.parts:
            yield "artifacts out of its folder"
