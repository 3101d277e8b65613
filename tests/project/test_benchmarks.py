"""The ratios of docs/benchmarks.md: times are the machine's, ratios are the code's."""

import subprocess
import sys

import pytest

from benchmarks.orchestration import RATIOS, exceeded
from benchmarks.processes import Cost
from benchmarks.training.compare import MODELS, compare_evaluate, compare_train, make_table
from stockpred.training.fit import import_libraries
from tests.support.paths import ROOT


@pytest.mark.run
@pytest.mark.long
def test_ratios_of_a_chain_stay_below_their_limits_and_slack() -> None:
    command = [sys.executable, "-m", "benchmarks.orchestration", "--rounds", "1", "--slack", "0.15"]
    # By `env`: a fork of a process that has imported MLflow would not pay for its imports.
    done = subprocess.run(["env", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# What a chain imports whose every step is cached, beside MLflow; and what only steps need.
OF_A_CHAIN = (
    *("steps.main", "steps.registration.name_check", "steps.output.read_summary"),
    *("steps.output.chain_description", "pipeline.chain.run_project", "sources.snapshot"),
)
OF_STEPS = {"matplotlib", "optuna", "scipy", "skops", "sklearn", "yfinance", "exchange_calendars"}


def test_cached_chain_imports_nothing_that_only_steps_need() -> None:
    code = f"import sys, {', '.join(OF_A_CHAIN)}; print(*sys.modules)"
    done = subprocess.run(
        ["env", sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "mlflow" not in modules, "refusals come before it is imported"
    assert not {name.partition(".")[0] for name in modules} & OF_STEPS
    assert not [name for name in modules if name.startswith(("sources.files.", "reports.plots"))]


def test_ratio_is_exceeded_by_more_than_the_slack_alone() -> None:
    [*_, ratio] = RATIOS
    others = dict.fromkeys(ratio.others, Cost(1.0, 1.0, 1.0))
    costs = {
        name: Cost(ratio.limit * factor, 1.0, 1.0) for name, factor in (("in", 1.1), ("out", 1.2))
    }
    below, above = ({**others, ratio.variant: cost} for cost in costs.values())
    assert exceeded([below], 0.15, (ratio,)) == []
    assert exceeded([above], 0.15, (ratio,)) == [ratio]
    assert exceeded([below, below, above], 0.15, (ratio,)) == []


@pytest.mark.long
def test_train_and_evaluate_cost_little_more_than_bare_fits() -> None:
    table = make_table(symbols=6, sessions=1500)
    import_libraries(MODELS)
    # Importances and metrics weigh more in a table as small as this.
    assert compare_train(table).ratio < 1.4
    assert compare_evaluate(table, "random_forest").ratio < 1.15
