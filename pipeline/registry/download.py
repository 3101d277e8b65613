"""Download and verification of a logged model, before its code is loaded.

Loading a model runs its code. Verification makes sure that this is the code that the training run
recorded, and that nothing else is loaded: no pickle, no file outside the model's folder.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError
from pipeline.registry.model_uri import ResolvedModel
from pipeline.registry.versions import none_if_missing
from pipeline.step import MODEL
from pipeline.tags import TAG_OUTPUT
from pipeline.tracking.artifacts import limit_file_size, local_folder, model_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Neither loader unpickles a model that brings its own code, which `refusal_reason` requires.
LOADERS = ("mlflow.pyfunc.loaders.code_model", "mlflow.pyfunc.model")
FLAVOR = "python_function"
CODE, ARTIFACTS = "code", "artifacts"


def fetch_model(client: "MlflowClient", model: ResolvedModel, into: Path) -> Path:
    """Copy a model's files to a folder, and verify them.

    Parameters
    ----------
    client : MlflowClient
    model : ResolvedModel
    into : Path
        An empty folder.

    Returns
    -------
    Path
        Folder of the copy.

    Raises
    ------
    InputError
        The files no longer exist, or are refused (see `refusal_reason`).
    """
    if model.name is None or model.version is None:
        logged = client.get_logged_model(model.uri.removeprefix("models:/"))
        location, run_id = logged.artifact_location, logged.source_run_id
    else:
        location = client.get_model_version_download_uri(model.name, model.version)
        run_id = client.get_model_version(model.name, model.version).run_id
    return fetch_files(client, model.uri, location, run_id, into)


def fetch_files(
    client: "MlflowClient", uri: str, location: str, run_id: str | None, into: Path
) -> Path:
    """Copy and verify the files of a model whose location and training run are known.

    Parameters
    ----------
    client : MlflowClient
    uri : str
        For messages.
    location : str
        Folder or URI of the files.
    run_id : str or None
        Training run; None where it is unknown.
    into : Path
        An empty folder.

    Returns
    -------
    Path
        Folder of the copy.

    Raises
    ------
    InputError
        As `fetch_model`.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    folder = local_folder(location)
    target = into / "model"
    try:
        if folder is None:
            with limit_file_size():
                target = Path(download_artifacts(location, dst_path=str(into)))
        else:
            # Links stay links, to be refused.
            shutil.copytree(folder, target, symlinks=True)
        # Bytecode could be compiled from another source.
        for cache in [*target.rglob("__pycache__")]:
            if cache.is_dir() and not cache.is_symlink():
                shutil.rmtree(cache)
    except (MlflowException, OSError, shutil.Error) as error:
        reason = " ".join(str(error).split())[:500]
        raise InputError(
            uri, expected="the files of a model", got=reason, fix="train it again"
        ) from error
    run = none_if_missing(lambda: client.get_run(run_id)) if run_id else None
    recorded = run.data.tags.get(TAG_OUTPUT + MODEL) if run is not None else None
    if (why := refusal_reason(target, recorded)) is not None:
        raise InputError(
            uri, expected="a model as its run recorded it", got=why, fix="register a model of train"
        )
    return target.absolute()


def refusal_reason(folder: Path, recorded: str | None) -> str | None:
    """Return why a model's files must not be loaded; None where they may.

    Only models from code are allowed: MLflow's own loader for them, code in the model's folder, and
    data in its `artifacts`. Every other flavour or loader of MLflow may unpickle.

    Parameters
    ----------
    folder : Path
        Folder of the model.
    recorded : str or None
        Digest that the training run recorded (see `artifacts.model_digest`) and that the files must
        have; None: not compared.

    Returns
    -------
    str or None
        A few words, for a message.
    """
    import yaml

    if link := next((path for path in folder.rglob("*") if path.is_symlink()), None):
        return f"the link {link.relative_to(folder)}"
    try:
        flavors = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["flavors"]
        forbidden = next(_forbidden_parts(folder, flavors), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        return f"an MLmodel file that cannot be read ({type(error).__name__})"
    if forbidden is not None:
        return f"more than a model from code ({forbidden})"
    if recorded is not None and (digest := model_digest(folder)) != recorded:
        return f"other files (sha256 {digest[:12]}..., recorded {recorded[:12]}...)"
    return None


def _forbidden_parts(folder: Path, flavors: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield each reason why files are not a model from code alone."""
    others = sorted(set(flavors) - {FLAVOR})
    if others or FLAVOR not in flavors:
        yield f"flavour {(others or ['none'])[0]!s}"[:80]
        return
    config = flavors[FLAVOR]
    if config.get("loader_module") not in LOADERS:
        yield f"loader {config.get('loader_module')!s}"[:80]
    if "python_model" in config or "data" in config:
        yield "a pickled part"
    # MLflow uses only the last part of this path, as a file in the model's folder.
    code = PurePosixPath(str(config.get("model_code_path", "")))
    if code.suffix != ".py" or not (folder / code.name).is_file():
        yield "no code of its own"
    if config.get("code") not in (None, CODE):
        yield "code outside its folder"
    for artifact in (config.get("artifacts") or {}).values():
        path = PurePosixPath(artifact["path"])
        if path.parts[:1] != (ARTIFACTS,) or ".." in path.parts:
            yield "artifacts outside its folder"
