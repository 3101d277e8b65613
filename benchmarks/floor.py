"""Do the chain's work in one process that imports everything once: the floor of its cost.

Six nested runs with the same reads, computations, artifacts, tags and metrics; no processes, no
cache, no look-ups.
"""

import argparse
import importlib
from pathlib import Path
from tempfile import mkdtemp

import mlflow
import sklearn.ensemble  # noqa: F401

from pipeline.run.step_run import StepRun
from pipeline.step import FinishedStep
from pipeline.tracking.artifacts import output_hashes
from steps.cli.parameters import taken_by, value_of
from steps.cli.types import ROOT
from steps.main import STEPS


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="parameters of main")
    given = parser.parse_args().parameters
    texts = {name: str(default) for name, default in taken_by("main").items()}
    texts |= dict(text.split("=", 1) for text in given)
    params = {name: value_of(name, text) for name, text in texts.items()}
    client = mlflow.MlflowClient()
    done: dict[str, FinishedStep] = {}
    with mlflow.start_run():
        for step in STEPS:
            shell = importlib.import_module(f"steps.{step.name}").main
            inputs = {name: done[o.step].uri(o.artifact) for name, o in step.inputs.items()}
            own = {option.name: option for option in shell.command.params}
            values = {
                name: params[name]
                if name in params
                else option.type.convert(option.default, option, None)
                for name, option in own.items()
                if name not in inputs
            }
            with mlflow.start_run(run_name=step.name, nested=True) as active:
                run = StepRun(client, active.info.run_id, ROOT, Path(mkdtemp()))
                mlflow.log_params({name: texts.get(name, "") for name in values} | inputs)
                shell.body(run, **inputs, **values)
                run.flush()
            tags = client.get_run(run.run_id).data.tags
            done[step.name] = FinishedStep(
                step.name, run.run_id, "", 0.0, output_hashes(tags), tags
            )


if __name__ == "__main__":
    main()
