"""Files to and from a tracking server that hands artifacts on (`mlflow-artifacts:`)."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from pipeline.tracking.idempotent_store import retry


class ArtifactRepository(MlflowArtifactsRepository):
    """MLflow's own, with the files of a folder sent side by side, and with more patience."""

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """As MLflow's, which sends one file after the other: a model has some eighty."""
        top = Path(local_dir)
        futures: list[Future[None]] = []
        for path in sorted(path for path in top.rglob("*") if path.is_file()):
            below = Path(artifact_path or "") / path.parent.relative_to(top)
            target = below.as_posix() if below.parts else None
            futures.append(self.thread_pool.submit(self.log_artifact, str(path), target))
        try:
            for future in futures:
                future.result()
        finally:
            # Whoever is told to end does not wait for what has not begun.
            for future in futures:
                future.cancel()

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """As MLflow's."""
        retry(lambda: super(ArtifactRepository, self).log_artifact(local_file, artifact_path))

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        """As MLflow's."""
        return retry(lambda: super(ArtifactRepository, self).list_artifacts(path))

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """As MLflow's."""
        retry(lambda: super(ArtifactRepository, self).delete_artifacts(artifact_path))

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        retry(lambda: super(ArtifactRepository, self)._download_file(remote_file_path, local_path))


def install() -> None:
    """Have MLflow use this, in this process."""
    _artifact_repository_registry.register("mlflow-artifacts", ArtifactRepository)
