"""A process that registers, looks and moves is killed at every line: the next makes it good."""

import signal
from pathlib import Path

import pytest

from tests.support.runs.kill_at_lines import run_script
from tests.support.runs.stores import make_store
from tests.support.runs.toy_project import ENV, long

pytestmark = pytest.mark.run

AT_EVERY_LINE = """
import json, signal, sys
from pathlib import Path
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from pipeline.registry import history, lock, transitions
from pipeline.registry import versions as registry
from tests.support.runs.kill_at_lines import kill_at_every_line
from steps.registration import look_store
from stockpred.gate.sequential_looks import LookData, hypothesis_of

FOLDER, (signum, stride) = Path(sys.argv[1]), map(int, sys.argv[2:])
client, count = MlflowClient(), 0
experiment = client.create_experiment("e", artifact_location=FOLDER.as_uri())
lock.GRACE = 0.1  # a server of this machine takes up no request of a dead process
days = pd.date_range("2024-01-01", periods=40).as_unit("s")
rng = np.random.default_rng(0)
rows = pd.DataFrame({
    "symbol": "AAA", "date": days, "label": rng.integers(0, 2, 40).astype(float),
    "probability_up": rng.random(40), "prior": 0.5, "forward_return": rng.normal(size=40),
})


def one(model, known):
    '''What `register` does with a model; `known`: how many of the days have passed.'''
    tags = {"model_sha256": model}
    version = registry.register_version(client, name, f"models:/{model}", "", tags)
    number = str(version.version)
    look_store.take_look(
        client, version, hypothesis_of("a" * 64, rows),
        LookData(rows[:known], ("prior",), f"{known:016}", 1)
    )
    champion = registry.version_by_alias(client, name, "champion")
    transitions.move_version(
        client, name, number, stage="Production", aliases=["champion", "candidate"],
        champion=str(champion.version) if champion else None, run_id=number, reason="better",
        tags={"promise": f"of {number}"},
    )


def before():
    global name, models, count
    count += 1
    name = f"name {count}"
    models = [client.create_logged_model(experiment, name=f"model{i}-{count}") for i in "12"]
    for model in models:
        place = Path(model.artifact_location.removeprefix("file://"))
        place.mkdir(parents=True)
        (place / "MLmodel").touch()
    one(models[0].model_id, 20)


def work():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    one(models[1].model_id, 40)


def state():
    known, told = registry.versions(client, name), history.history(client, name)
    return {
        "stages": {str(v.version): v.tags.get("stage", "") for v in known},
        "aliases": transitions.registry_state(client, name).aliases,
        "promises": {str(v.version): v.tags.get("promise") for v in known},
        "lost": [v.version for v in known if not registry._has_files(v.source)],
        "looks": registry.model_tags(client, name, look_store.PREFIX),
        "moves": [each.to_dict() for each in told],
        "champion": history.champion_of(told),
        "queue": len(registry.model_tags(client, name, lock.PREFIX)),
    }


modules = (history, transitions, registry, lock, look_store)
for each in kill_at_every_line(work, modules, signum, stride, 0, before):
    ended = state()
    work()
    print(json.dumps([each, ended, state()]), flush=True)
"""


@pytest.mark.parametrize(
    ("signum", "stride"),
    [(signal.SIGKILL, 41), long(signal.SIGKILL, 1), long(signal.SIGTERM, 1)],
)
def test_transition_killed_at_any_line_leaves_one_champion(
    tmp_path: Path, signum: int, stride: int
) -> None:
    env = {**ENV, "MLFLOW_TRACKING_URI": make_store(tmp_path)}
    *tries, undisturbed = run_script(
        AT_EVERY_LINE, tmp_path / "models", int(signum), stride, env=env
    )
    assert len(tries) >= 250 // stride, "no lines were traced"
    (_, _, code), whole, _ = undisturbed
    assert code == 0 and len(whole["moves"]) == 3
    [look] = whole["looks"].values()
    stages, found_so = set(), 0
    for (_, where, code), ended, after in tries:
        assert code == (-signum if signum == signal.SIGKILL else 143), where
        # Whoever asks for the champion meanwhile gets one whose model is there.
        champion = ended["aliases"]["champion"]
        assert champion in ended["stages"] and ended["lost"] == [], where
        assert ended["promises"][champion] == f"of {champion}", where
        stages.add(str(ended["stages"]))
        for part in ("stages", "aliases", "lost", "champion"):
            assert after[part] == whole[part], (where, part)
        assert after["queue"] == 0 and [*after["looks"].values()] == [look], where
        # Replayed, the record gives every version's stages without a gap, and each champion once.
        replayed = dict.fromkeys(after["stages"], "")
        for move in after["moves"]:
            assert move["from"] == replayed[move["version"]], where
            replayed[move["version"]] = move["to"]
        assert replayed == after["stages"], where
        assert [m["version"] for m in after["moves"] if "champion" in m["aliases"]] == ["1", "2"]
        found_so += any(move["run_id"] == "" for move in after["moves"])
    assert len(stages) > 2 and found_so, "it was killed between what belongs together, too"
