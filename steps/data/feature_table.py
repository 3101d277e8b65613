"""features.parquet as an input of a step.

Apart from the other artifacts: only the steps that read it reach the code of features.
"""

from pathlib import Path

from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_metadata
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
