"""A minimal step: options as text, one output, and behaviours for tests.

The file `behaviour.json` beside the project holds each step's behaviour, so that a test can change
it without changing a cache key.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from pipeline.run.active_run import SignalReceived
from pipeline.errors import PipelineError
from pipeline.run.nested import NestedRuns
from pipeline.run.step_run import step_run

ROOT = Path(__file__).resolve().parent.parent


def process_state(step):
    """Return arguments, folder, environment and more of this process, to compare backends."""
    mlflow_env = {k: v for k, v in os.environ.items() if k.startswith(("MLFLOW_", "PIPELINE_"))}
    mlflow_env["PIPELINE_LOG_FILE"] = Path(mlflow_env["PIPELINE_LOG_FILE"]).name
    return {
        "argv": [word.replace(step.run_id, "RUN") for word in sys.argv[1:]],
        "cwd": str(Path.cwd()),
        "path": sys.path[0],
        "env": {k: v.replace(step.run_id, "RUN") for k, v in mlflow_env.items()},
        "home": os.environ.get("HOME"),
        "name": sys.modules["__main__"].__name__,
        "file": sys.modules["__main__"].__file__,
        "stdin": str(Path("/proc/self/fd/0").readlink()),
    }


def run(name, make):
    argv = sys.argv[1:]
    options = {argv[i].removeprefix("--"): argv[i + 1] for i in range(0, len(argv), 2)}
    file = ROOT.parent / "behaviour.json"
    behaviour = json.loads(file.read_text()).get(name, {}) if file.exists() else {}
    try:
        with step_run(ROOT, name, options) as step:
            log = ROOT.parent / "log.txt"
            with log.open("a") as out:
                out.write(f"{name} start {time.time()} {os.getpid()}\n")
            step.set_tags({"world": json.dumps(process_state(step), sort_keys=True)})
            if behaviour.get("deaf"):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if behaviour.get("nested"):
                nested = NestedRuns(step.client, step.client.get_run(step.run_id), step.heartbeat)
                nested.open("inner", nested.open("outer"))
            while "meet" in behaviour and f"{behaviour['meet']} start" not in log.read_text():
                time.sleep(0.02)
            time.sleep(behaviour.get("sleep", 0))
            for line in behaviour.get("say", ()):
                print(line, file=sys.stderr)
            if behaviour.get("fail"):
                raise PipelineError(behaviour["fail"])
            if behaviour.get("kill"):
                os.kill(os.getpid(), signal.SIGKILL)
            with step.output(behaviour.get("writes", "out.txt")) as path:
                path.write_text(make(step, options))
            if behaviour.get("kill_late"):
                os.kill(os.getpid(), signal.SIGKILL)
            step.set_key_figure(f"{name} done")
            step.log_metrics({"length": 1.0})
            with log.open("a") as out:
                out.write(f"{name} end {time.time()} {os.getpid()}\n")
    except PipelineError as error:
        sys.exit(str(error))
    except SignalReceived as received:
        sys.exit(128 + received.signum)
