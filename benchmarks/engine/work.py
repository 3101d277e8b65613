"""The work that `benchmarks.engine` measures: a search and a walk over a generated table."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.file_hashes import file_sha256
from pipeline.parallel.engine import Engine, open_engine
from pipeline.storage.parquet import SharedFile, write_groups
from steps.cli.parameters import defaults
from steps.training.units import FoldPlan, WalkPlan, fit_fold, folds_of, forecast_block, walk_of
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe, Training
from stockpred.training.search import Search, Submit
from stockpred.training.split import holdout_start
from tests.support.data.feature_tables import rows_to_arrow
from tests.support.data.generated_tables import generate_table

MODEL = "hist_gradient_boosting"


class Work:
    """A stored table, and the plans of `train` and `evaluate` with default parameters.

    Parameters
    ----------
    folder : Path
        For the table.
    symbols, sessions, features : int
        Its size.
    """

    def __init__(self, folder: Path, symbols: int, sessions: int, features: int) -> None:
        rows = generate_table(sessions, symbols, 0.2, features=features)
        path = folder / "features.parquet"
        parts = (part for _, part in rows.groupby("symbol", sort=False))
        write_groups(path, map(rows_to_arrow, parts))
        table, given = SharedFile(str(path), file_sha256(path)), defaults()
        start = holdout_start(rows["date"], given["holdout"])
        self.models = given["models"]
        self.folds = FoldPlan(table, start, given["folds"], given["gap"], 0, Training())
        recipe = Recipe(MODEL, CANDIDATES[MODEL].defaults, "none", ("x",), 1, 1, "code")
        self.walk = WalkPlan(table, recipe, start, given["refit_every"], 0)

    def search(self, submit: Submit) -> None:
        """Fit every candidate on every fold."""
        for _ in Search(folds_of(self.folds), self.models).run(submit):
            pass

    def train(self, engine: Engine) -> None:
        """Fit every candidate on every fold by an engine."""
        self.search(partial(engine.submit, fit_fold, self.folds))

    def evaluate(self, engine: Engine) -> None:
        """Walk through the holdout by an engine."""
        walk = walk_of(self.walk)
        walk.predictions(engine.map(partial(forecast_block, self.walk), walk.numbers))

    def start(self, address: str) -> float:
        """Seconds from no connection to the first block of the holdout."""
        began = time.perf_counter()
        with open_engine(address, forecast_block) as engine:
            list(engine.map(partial(forecast_block, self.walk), walk_of(self.walk).numbers[:2]))
        return time.perf_counter() - began

    def on_cluster(self, address: str, rounds: int) -> dict[str, float]:
        """Median seconds of each part, after a first round that loads the table."""
        parts: dict[str, Callable[[Engine], None]] = {
            "train": self.train,
            "evaluate": self.evaluate,
        }
        with open_engine(address, fit_fold, forecast_block) as engine:
            for work in parts.values():
                work(engine)
            walls: dict[str, list[float]] = {name: [] for name in parts}
            for _ in range(rounds):
                for name, work in parts.items():
                    began = time.perf_counter()
                    work(engine)
                    walls[name].append(time.perf_counter() - began)
        return {name: statistics.median(values) for name, values in walls.items()}
