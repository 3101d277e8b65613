"""features.parquet as an input of a step.

Apart from the other artifacts: only the steps that read it reach the code of features.
"""

from pathlib import Path

from pipeline.file_hashes import file_sha256
from pipeline.parallel.engine import LOCAL
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import SharedFile, read_metadata
from pipeline.tracking.artifacts import shared_location
from steps.data.artifacts import ArtifactKind, fetch_artifact
from stockpred.features.table import METADATA_KEY, TableInfo

FEATURES = ArtifactKind(
    "features.parquet of features", (), METADATA_KEY, "give the artifact of a features run"
)


def fetch_feature_table(run: StepRun, table: str) -> tuple[Path, TableInfo]:
    """Fetch the table that the parameter `table` names, with its metadata.

    Raises
    ------
    ParameterError
        `features` did not write the file.
    InputError
        There is no such file, or it is damaged (`artifacts.fetch`).
    """
    path = fetch_artifact(run, "table", table, FEATURES)
    return path, TableInfo.from_metadata(read_metadata(path))


def share_table(run: StepRun, table: str, path: Path, engine: str) -> SharedFile:
    """Describe a fetched table so that units of work read it wherever they run.

    Parameters
    ----------
    run : StepRun
    table : str
        The parameter's value.
    path : Path
        As `fetch_feature_table` returned it.
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
    location = str(path) if engine == LOCAL else shared_location(run.client, table, run.root)
    return SharedFile(location, file_sha256(path))
