"""Make the calls to the store that a chain makes whose every step is cached, and nothing else.

With `--table` run a chain, cold and cached, and print the number of its calls by program.
"""

import argparse
import contextlib
import sys
import tempfile
from collections import Counter
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from benchmarks.chains import STEPS
from pipeline.tags import TAG_ENTRY_POINT, TAG_MODEL_URI, TAG_NOTE, TAG_PROCESS, TAG_STEP
from pipeline.tracking.experiment import current_experiment

NAME, VERSION = "stockpred", "1"  # registered by the chain before


def main() -> None:
    """Make them, with a run of its own."""
    client = MlflowClient()
    client.get_registered_model(NAME)
    experiment = current_experiment(client).experiment_id
    run_id = client.create_run(experiment).info.run_id
    client.log_batch(run_id, params=[Param(f"parameter_{n}", "x") for n in range(40)])
    with mlflow.start_run(run_id):
        client.log_batch(run_id, tags=[RunTag(TAG_PROCESS, "x"), RunTag("mlflow.runName", "x")])
        client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
        runs = [run for step in STEPS for run in _search(client, experiment, step)]
        [train] = [run for run in runs if TAG_MODEL_URI in run.data.tags]
        model_id = train.data.tags[TAG_MODEL_URI].removeprefix("models:/")
        client.get_logged_model(model_id)
        client.get_model_version(NAME, VERSION)
        tags = [
            RunTag(f"{TAG_STEP}{s}.{kind}", "x") for s in STEPS for kind in ("run_id", "status")
        ]
        tags += [RunTag("mlflow.runName", "y"), RunTag(TAG_NOTE, "x")]
        tags += [RunTag(name, "x") for name in ("candidate", "verdict", "decision")]
        metrics = [Metric(f"figure_{n}", 1.0, 1, 0) for n in range(4)]
        metrics += [Metric(f"judged_{n}", 1.0, 1, 0, model_id=model_id) for n in range(6)]
        client.log_batch(run_id, metrics=metrics, tags=tags)
        client.log_inputs(run_id, train.inputs.dataset_inputs)
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    client.get_run(train.info.run_id)
    client.get_model_version(NAME, VERSION)
    with contextlib.suppress(MlflowException):  # none where the gate has refused the model
        client.get_model_version_by_alias(NAME, "champion")
    current_experiment(client)


def _search(client: MlflowClient, experiment: str, step: str) -> list[Run]:
    condition = f"tags.`{TAG_ENTRY_POINT}` = '{step}' and attributes.status = 'FINISHED'"
    newest = ["attributes.start_time DESC"]
    return list(client.search_runs([experiment], condition, max_results=1, order_by=newest))


def print_table() -> None:
    """Run a chain on an empty store twice, and print a Markdown table."""
    # Not where this module is what is measured.
    from benchmarks.orchestration import LIGHT, Bench
    from tests.support.runs import store_calls

    options = [word for name, value in LIGHT.items() for word in (f"--{name}", value)]
    record = ("-m", store_calls.__name__)
    counts: list[dict[str, Counter[str]]] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        store = bench.fresh("counted")
        for kind in ("cold", "cached"):
            path = Path(folder) / kind
            bench.python(store, *record, str(path), "steps.main", *options)
            counts.append(store_calls.read_calls(path))
    cold, cached = counts
    lines = ["| program | cold | cached | of these, cold |", "| --- | ---: | ---: | --- |"]
    for program in ("main", *STEPS):
        kinds = ", ".join(f"{n} `{name}`" for name, n in cold[program].most_common())
        again = cached.get(program, Counter()).total()
        lines.append(f"| {program} | {cold[program].total()} | {again} | {kinds} |")
    totals = [sum(calls.total() for calls in count.values()) for count in counts]
    lines.append(f"| all | {totals[0]} | {totals[1]} | |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="count the calls of a chain")
    if parser.parse_args().table:
        print_table()
    else:
        main()
