"""Uploads and downloads through a tracking server (`mlflow-artifacts:`): in parallel, retried."""

from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.tracking.idempotent_store import retry
from pipeline.tracking.mlflow_private import MlflowArtifactsRepository, artifact_repositories

if TYPE_CHECKING:
    from mlflow.entities import FileInfo


class ArtifactRepository(MlflowArtifactsRepository):
    """MLflow's repository, each of its calls retried (see `idempotent_store.retry`)."""

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Upload the files of a folder in parallel; MLflow sends a model's eighty one by one.

        Parameters
        ----------
        local_dir : str
            Folder to upload, with its subfolders.
        artifact_path : str, optional
            Folder of the repository; by default its root.
        """
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
            # A process that is stopped does not wait for uploads that have not begun.
            for future in futures:
                future.cancel()

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Upload a file to a folder of the repository."""
        retry(partial(super().log_artifact, local_file, artifact_path))

    def list_artifacts(self, path: str | None = None) -> "list[FileInfo]":
        """List a folder of the repository."""
        return retry(partial(super().list_artifacts, path))

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a folder of the repository."""
        retry(partial(super().delete_artifacts, artifact_path))

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        retry(partial(super()._download_file, remote_file_path, local_path))


def install() -> None:
    """Have MLflow use this repository for `mlflow-artifacts:` URIs in this process."""
    artifact_repositories.register("mlflow-artifacts", ArtifactRepository)
