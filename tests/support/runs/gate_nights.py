"""A registry, and nights on which its gate decides on a model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient

from pipeline.run.step_run import StepRun
from steps.registration.by_gate import GateSettings, register
from steps.registration.gate_inputs import GateInputs
from tests.support.runs.stores import make_store

COMMIT = "0123456789" * 4
SOUND_VALIDATION = {"listed": 1000, "bars": 1000, "tradability": {"years": []}}


class GateNights:
    """A registry, and nights that each register one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = MlflowClient(make_store(folder, "nights"))
        self.experiment = self.client.get_experiment_by_name("nights").experiment_id

    def night(
        self,
        name: str,
        rows: pd.DataFrame,
        recipe: str,
        data: str,
        model: str = "",
        *,
        validation: Mapping[str, Any] = SOUND_VALIDATION,
        source: str = "unknown",
        **options: object,
    ) -> dict[str, Any]:
        """Register one model; return decision.json with its run's tags and its model."""
        run_id = self.client.create_run(self.experiment).info.run_id
        scratch = self.folder / run_id
        scratch.mkdir()
        if not model:
            logged = self.client.create_logged_model(
                self.experiment,
                name="model",
                source_run_id=run_id,
                tags={"mlflow.source.git.commit": COMMIT},
            )
            model = f"models:/{logged.model_id}"
        content = {
            "recipe": {"id": recipe * 64, "candidate": "logistic", "horizon": 1},
            "model": {"log_loss": 0.69},
            "table_sha256": data * 8,
            "source": source,
        }
        (scratch / "evaluation.json").write_text(json.dumps(content))
        (scratch / "validation.json").write_text(json.dumps(validation))
        pq.write_table(pa.Table.from_pandas(rows), scratch / "predictions.parquet")
        run = StepRun(self.client, run_id, scratch, scratch)
        settings = {"phase": "production", "max_age": 63, "require_tradable": True, **options}
        register(
            run,
            GateInputs(
                model,
                str(scratch / "evaluation.json"),
                str(scratch / "predictions.parquet"),
                str(scratch / "validation.json"),
            ),
            name,
            GateSettings(**settings),
        )
        run.flush()
        tags = self.client.get_run(run_id).data.tags
        return {**json.loads((scratch / "decision.json").read_text()), "tags": tags, "model": model}

    def tags(self, name: str, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(name, version).tags)


def first_dates(rows: pd.DataFrame, dates: int) -> pd.DataFrame:
    return rows[rows["date"] < np.unique(rows["date"])[dates]]
