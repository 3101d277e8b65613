"""Measure `train` and `evaluate`: user CPU beside bare fits of the same estimators, cores, memory.

It prints a Markdown table. Bare is `fit` and `predict_proba` of scikit-learn's estimators on the
same arrays, as many at a time. `train` also weighs the rows, measures importances and chooses a
threshold, `evaluate` computes metrics with their intervals. Both are measured in one process.
"""

import argparse
import sys
from functools import partial

from benchmarks.training.compare import MODELS, compare_evaluate, compare_train, make_table
from pipeline.parallel.engine import cores
from stockpred.features.table import feature_columns
from stockpred.training.fit import import_libraries


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--symbols", type=int, default=20, help="generated symbols (default: %(default)s)"
    )
    parser.add_argument(
        "--sessions", type=int, default=2500, help="of each symbol (default: %(default)s)"
    )
    options = parser.parse_args()
    table = make_table(options.symbols, options.sessions)
    import_libraries(MODELS)
    sys.stdout.write(
        f"{len(table):,} rows x {len(feature_columns(table))} features, {cores()} cores\n\n"
        "| computation | bare fits, CPU s | ours, CPU s | ratio | cores used, bare and ours "
        "| peak MiB, bare and ours |\n| --- | ---: | ---: | ---: | ---: | ---: |\n"
    )
    for title, compare in (
        ("train", compare_train),
        ("evaluate, logistic", partial(compare_evaluate, name="logistic")),
        ("evaluate, random_forest", partial(compare_evaluate, name="random_forest")),
    ):
        ours, bare = measured = compare(table)
        sys.stdout.write(
            f"| {title} | {bare.user:.1f} | {ours.user:.1f} | {measured.ratio:.2f} "
            f"| {bare.cores:.1f}, {ours.cores:.1f} | {bare.memory:.0f}, {ours.memory:.0f} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
