"""Parquet artifacts as inputs of a step, refused before its work where no step wrote them."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError
from pipeline.file_hashes import file_sha256
from pipeline.parallel.address import LOCAL
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import SharedFile, open_table
from pipeline.tracking.artifacts import shared_location
from stockpred.bars import schema
from stockpred.columns import (
    BARS,
    DATE,
    FORWARD_RETURN,
    LABEL,
    PRIOR,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.errors import ParameterError


@dataclass(frozen=True)
class ArtifactKind:
    """A kind of table that a step writes.

    Attributes
    ----------
    name : str
        The artifact and the steps that write it.
    columns : sequence of str
        Some of its columns.
    metadata_key : bytes, optional
        Key of the metadata that these steps write.
    fix : str
        An imperative.
    refused_key : bytes, optional
        Key of the metadata that another step writes.
    """

    name: str
    columns: tuple[str, ...]
    metadata_key: bytes | None
    fix: str
    refused_key: bytes | None = None


ACQUIRED = ArtifactKind(
    "bars.parquet of acquire or validate",
    BARS,
    schema.METADATA_KEY,
    "give a file of your own as source= (of main, acquire, score or monitor)",
)
# Key of the metadata of bars that `validate` has not seen. Files of earlier releases lack it.
UNVALIDATED = b"stockpred.unvalidated"
SOUND = ArtifactKind(
    "bars.parquet of validate",
    BARS,
    schema.METADATA_KEY,
    "give bars.parquet of a validate run, or a file of your own as source= (of main, score or "
    "monitor)",
    UNVALIDATED,
)
EXAMPLE = ArtifactKind(
    "example.parquet of validate",
    BARS,
    schema.METADATA_KEY,
    "give the artifact of a validate run",
)
FORECASTS = ArtifactKind(
    "holdout_predictions.parquet of evaluate",
    (SYMBOL, DATE, PROBABILITY_UP, PRIOR, LABEL, FORWARD_RETURN),
    None,
    "give the artifact of an evaluate run",
)


def fetch_artifact(run: StepRun, parameter: str, uri: str, kind: ArtifactKind) -> Path:
    """Fetch a table that a step wrote.

    Parameters
    ----------
    run : StepRun
    parameter : str
        Parameter that names it.
    uri : str
        Its value.
    kind : ArtifactKind

    Returns
    -------
    Path
        Parquet file on this machine.

    Raises
    ------
    ParameterError
        The file is of another kind.
    InputError
        There is no such file, or it is damaged (`artifacts.fetch`).
    """
    path = run.fetch_input(uri)
    if (got := _difference(path, kind)) is None:
        return path
    raise ParameterError(parameter, uri, expected=kind.name, got=got, fix=kind.fix)


def share_input(run: StepRun, uri: str, path: Path, engine: str) -> SharedFile:
    """Describe a fetched Parquet file so that units of work read it wherever they run.

    Parameters
    ----------
    run : StepRun
    uri : str
        The parameter's value.
    path : Path
        As `fetch_artifact` returned it.
    engine : str
        That runs the units (`open_engine`).

    Returns
    -------
    SharedFile

    Raises
    ------
    InputError
        Workers of a cluster cannot read it.
    """
    location = str(path) if engine == LOCAL else shared_location(run.client, uri, run.root)
    return SharedFile(location, file_sha256(path))


def _difference(path: Path, kind: ArtifactKind) -> str | None:
    try:
        with open_table(path) as file:
            names, metadata = file.schema_arrow.names, file.metadata.metadata or {}
    except InputError:
        return "a file that is no Parquet"
    missing = [name for name in kind.columns if name not in names]
    if missing:
        return f"a file without the column {missing[0]!r}"
    if kind.metadata_key is not None and kind.metadata_key not in metadata:
        return "a file that no such step wrote"
    if kind.refused_key is not None and kind.refused_key in metadata:
        return "that of acquire, which is not validated"
    return None
