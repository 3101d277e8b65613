"""Measure scoring: 5 million generated bars through the real step, beside the bare computation.

It prints a Markdown table. Bare is features and
`predict_proba` of a fitted estimator, over as many rows at a time as in score, without
checking or writing anything: the seconds of these two calls alone, and of the program that makes
them, which starts and reads, too. All in user CPU on one core.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.processes import cost
from benchmarks.validation import CALENDAR, LAST, tables
from pipeline.storage.parquet import read_groups, read_metadata, write_groups
from serving.model.estimator_files import load_estimator
from sources.calendars import calendar_sessions
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.schema import BarsInfo, from_arrow, split_by_symbol, unbroken_ranges
from stockpred.columns import DATE, SYMBOL
from stockpred.features.table import feature_arrays, feature_rows, longest_lookback
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.prediction.batch import REQUEST_ROWS
from stockpred.prediction.training_range import training_range
from stockpred.training.fit import fit
from tests.support.paths import ROOT

SETS, WINDOW = ("direction", "technical"), 14
LEARNT = 20  # symbols


def logged(name: str, bars: Path, scratch: Path) -> str:
    """Fit a candidate on some symbols and log it; return its URI."""
    import mlflow

    from pipeline.chain.code_digest import Code
    from serving.model.log_model import MODULE, log_model

    info = BarsInfo.from_metadata(read_metadata(bars))
    frames = [frame for _, frame in zip(range(LEARNT), _frames(bars), strict=False)]
    table = pd.concat(
        [feature_rows(f, SETS, WINDOW, 1, info.quarantines_of(f[SYMBOL].iloc[0])) for f in frames]
    )
    recipe = Recipe(name, CANDIDATES[name].defaults, "none", SETS, WINDOW, 1, "benchmark")
    estimator = fit(table, name, recipe.hyperparameters, 0)
    scratch.mkdir()
    with mlflow.start_run():
        model = log_model(
            recipe,
            estimator,
            frames[0],
            training_range(table),
            code=Code(ROOT).paths(MODULE),
            scratch=scratch,
            metadata={},
        )
    return f"models:/{model.model_id}"


def _frames(bars: Path) -> Iterator[pd.DataFrame]:
    """Yield the bars of each symbol."""
    for group in read_groups(bars):
        for _, rows in split_by_symbol(group):
            yield from_arrow(rows)


def bare(bars: Path, name: str, files: Path) -> None:
    """Write CPU seconds and number of forecasts to bare.json beside the estimator's files."""
    info, needed = BarsInfo.from_metadata(read_metadata(bars)), longest_lookback(SETS, WINDOW)
    estimator = load_estimator({"estimator": next(files.glob("estimator.*"))}, name)
    seconds, rows = 0.0, 0
    waiting: list[np.ndarray] = []

    def forecast() -> None:
        if waiting:
            estimator.predict_proba(np.concatenate(waiting))
            waiting.clear()

    for frame in _frames(bars):
        quarantines = info.quarantines_of(frame[SYMBOL].iloc[0])
        for first, last in unbroken_ranges(frame[DATE].to_numpy(), quarantines):
            part = frame.iloc[first:last]
            arrays = BarArrays.from_frame(part)
            began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            made = feature_arrays(arrays, SETS, WINDOW)
            waiting.append(np.column_stack([column[needed - 1 :] for column in made.values()]))
            rows += len(waiting[-1])
            if sum(map(len, waiting)) >= REQUEST_ROWS:
                forecast()
            seconds += resource.getrusage(resource.RUSAGE_SELF).ru_utime - began
    forecast()
    (files / "bare.json").write_text(json.dumps([seconds, rows]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--symbols", type=int, default=2000, help="generated symbols (default: %(default)s)"
    )
    parser.add_argument(
        "--sessions", type=int, default=2500, help="of each symbol (default: %(default)s)"
    )
    parser.add_argument(
        "--models",
        default="logistic,hist_gradient_boosting,random_forest",
        help="candidates, comma-separated (default: %(default)s)",
    )
    parser.add_argument(
        "--bare",
        nargs=3,
        metavar=("BARS", "MODEL", "FILES"),
        help="measure the bare computation alone (used by this benchmark itself)",
    )
    options = parser.parse_args()
    if options.bare:
        return bare(Path(options.bare[0]), options.bare[1], Path(options.bare[2]))
    os.sched_setaffinity(0, {0})  # inherited by its processes
    os.environ["OMP_NUM_THREADS"] = "1"
    dates = calendar_sessions(CALENDAR, LAST - 2 * options.sessions, LAST)[-options.sessions :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/store.db"}
        os.environ.update(env)
        import mlflow

        mlflow.create_experiment("bench", artifact_location=(folder / "artifacts").as_uri())
        mlflow.set_experiment("bench")
        env["MLFLOW_EXPERIMENT_NAME"] = "bench"
        calendars = {f"S{number:05d}": CALENDAR for number in range(options.symbols)}
        raw = folder / "raw.parquet"
        write_groups(
            raw, tables(options.symbols, dates), BarsInfo("made", "as made", calendars).to_metadata
        )
        cost([sys.executable, "-m", "steps.validate", "--bars", str(raw)], ROOT, env)
        bars = next((folder / "artifacts").rglob("bars.parquet"))
        sys.stdout.write(
            "| model | forecasts | bare calls s | program s | score s | ratios | wall s | MiB |\n"
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        )
        for model in options.models.split(","):
            files = folder / model
            words = ["--dates", "all", "--model_uri", logged(model, bars, files)]
            step = [sys.executable, "-m", "steps.score", *words, "--bars", str(bars)]
            user, wall, memory = cost(step, ROOT, env)
            plain = [sys.executable, "-m", "benchmarks.score", "--bare", str(bars), model]
            program = cost([*plain, str(files)], ROOT, env).user
            calls, rows = json.loads((files / "bare.json").read_text())
            sys.stdout.write(
                f"| {model} | {rows:,} | {calls:.1f} | {program:.1f} | {user:.1f} "
                f"| {user / calls:.2f}, {user / program:.2f} | {wall:.1f} | {memory:.0f} |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
