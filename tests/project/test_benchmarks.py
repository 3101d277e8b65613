"""The ratios of docs/benchmarks.md: times are the machine's, ratios are the code's."""

import subprocess
import sys

import pytest

from benchmarks.orchestration import RATIOS, exceeded
from benchmarks.processes import Cost
from tests.support.paths import ROOT


@pytest.mark.run
@pytest.mark.long
def test_ratios_of_a_chain_stay_below_their_limits_and_slack() -> None:
    command = [sys.executable, "-m", "benchmarks.orchestration", "--rounds", "1", "--slack", "0.15"]
    # By `env`: a fork of a process that has imported MLflow would not pay for its imports.
    done = subprocess.run(["env", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


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
