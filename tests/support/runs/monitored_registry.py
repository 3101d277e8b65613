"""Inputs of the monitor: a registry with a champion, a ledger of its forecasts, bars."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow import MlflowClient

from pipeline.run.step_run import StepRun
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import write_groups
from steps.monitor import main
from steps.registration.tags import TAGS_EXPECTED_LEAD
from stockpred.bars.schema import BarsInfo, to_arrow
from tests.support.runs.stores import make_store

RECIPE = {"feature_sets": ["direction"], "window": 3, "horizon": 1}
SESSIONS_BEFORE = 40  # sessions of bars before the first forecast
NAME = "watched"


def bars_with_outcomes(rows: pd.DataFrame, last: int | None = None) -> pd.DataFrame:
    """Generate bars whose moves are the outcomes of forecasts, each in the next session."""
    dates = np.unique(rows["date"])
    before = pd.bdate_range(
        end=pd.Timestamp(dates[0]) - pd.Timedelta(days=1), periods=SESSIONS_BEFORE
    )
    after = pd.bdate_range(pd.Timestamp(dates[-1]) + pd.Timedelta(days=1), periods=1)
    days = np.concatenate([before.to_numpy(), dates, after.to_numpy()]).astype("datetime64[s]")
    parts = []
    for number, (symbol, own) in enumerate(rows.groupby("symbol")):
        rng = np.random.default_rng(number)
        first = rng.integers(0, 2, SESSIONS_BEFORE + 1)  # the first forecast's own session, too
        up = np.concatenate([first, own["label"].to_numpy()]) == 1
        opened = 50 + rng.random(len(days))
        closed = opened * np.where(up, 1.01, 0.99)
        parts.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "date": days,
                    "open": opened,
                    "high": np.maximum(opened, closed),
                    "low": np.minimum(opened, closed),
                    "close": closed,
                    "adj_close": closed,
                    "volume": 1e6 * (1 + rng.random(len(up))),
                }
            ).iloc[:last]
        )
    return pd.concat(parts, ignore_index=True)


class MonitoredRegistry:
    """A registry with a champion, a ledger and bars."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = make_store(folder, "nights")
        self.client = MlflowClient(self.uri)
        self.experiment = self.client.get_experiment_by_name("nights").experiment_id
        self.client.create_registered_model(NAME)

    def register(
        self, trained_to: str, recipe: str, *aliases: str, model: Path | None = None
    ) -> str:
        """Register a model, or a stub with its recipe, with an expected lead."""
        if model is None:
            logged = self.client.create_logged_model(self.experiment, name="model")
            model = Path(logged.artifact_location.removeprefix("file://"))
            (model / "artifacts").mkdir(parents=True)
            (model / "artifacts" / "recipe.json").write_text(json.dumps(RECIPE))
        tags = dict(
            zip(TAGS_EXPECTED_LEAD, ("0.0078", "0.001", "2014-12-31", "0.0078"), strict=True)
        )
        tags |= {"trained_to": trained_to, "recipe_id": recipe}
        version = self.client.create_model_version(NAME, model.as_uri(), tags=tags)
        for alias in aliases:
            self.client.set_registered_model_alias(NAME, alias, version.version)
        return str(version.version)

    def append_forecasts(
        self, rows: pd.DataFrame, version: str, scored_at: dt.datetime | None = None
    ) -> None:
        """Add forecasts to the ledger as score does; by default on the evening of each date."""
        evenings = rows["date"].to_numpy() + np.timedelta64(22, "h")
        when = evenings if scored_at is None else [scored_at] * len(rows)
        dates = rows["date"].to_numpy().astype("datetime64[D]")
        close = pd.offsets.BusinessDay(1)
        ends = (pd.to_datetime(rows["date"]) + close).to_numpy().astype("datetime64[D]")
        table = pa.table(
            {
                "symbol": pa.array(rows["symbol"], pa.string()),
                "date": pa.array(dates, pa.date32()),
                "entry_date": pa.array(ends, pa.date32()),
                "exit_date": pa.array(ends, pa.date32()),
                "probability_up": rows["probability_up"].to_numpy(),
                "direction": pa.array(rows["probability_up"] > 0.5).cast(pa.int64()),
                "in_range": pa.array([True] * len(rows)),
                "model": [NAME] * len(rows),
                "model_version": [version] * len(rows),
                "as_of": pa.array(
                    rows["date"].to_numpy() + np.timedelta64(1, "D"), pa.timestamp("ms", "UTC")
                ),
                "scored_at": pa.array(when, pa.timestamp("ms", "UTC")),
            }
        )
        self.ledger.append(table, f"{NAME}-{version}", "symbol")

    @property
    def ledger(self) -> Ledger:
        return Ledger("ledger", self.folder, "date")

    def write_bars(self, bars: pd.DataFrame, name: str = "bars.parquet") -> str:
        calendars = dict.fromkeys(sorted(bars["symbol"].unique()), "union")
        info = BarsInfo("generated", "as generated", calendars)
        tables = (to_arrow(part) for _, part in bars.groupby("symbol", sort=True))
        write_groups(self.folder / name, tables, info.to_metadata)
        return str(self.folder / name)

    def monitor(
        self, bars: str | None, on_alert: str = "report", **changes: object
    ) -> dict[str, Any]:
        """Run the step's body; return monitoring.json with its run and page."""
        run_id = self.client.create_run(
            self.experiment, tags={"mlflow.project.entryPoint": "monitor"}
        ).info.run_id
        scratch = self.folder / run_id
        scratch.mkdir()
        run = StepRun(self.client, run_id, self.folder, scratch)
        options = {
            "ledger": str(self.folder / "ledger"),
            "bars": bars,
            "source": None,
            "symbols": None,
            "as_of": None,
            "max_missing": 0.05,
            "registered_model": NAME,
            "on_alert": on_alert,
        }
        main.body(run, **{**options, **changes})
        run.flush()
        return {
            **json.loads((scratch / "monitoring.json").read_text()),
            "run": self.client.get_run(run_id),
            "page": (scratch / "monitoring.html").read_text(),
        }
