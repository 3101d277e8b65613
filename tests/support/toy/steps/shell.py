"""A minimal shell: options as they come, one output, and the behaviours that tests ask for.

The file `behaviour.json` beside the project tells a step what to do, so that a test can change it
without changing a cache key.
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


def world(step):
    """What a process sees: compared between backends."""
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
    todo = json.loads(file.read_text()).get(name, {}) if file.exists() else {}
    try:
        with step_run(ROOT, name, options) as step:
            log = ROOT.parent / "log.txt"
            with log.open("a") as out:
                out.write(f"{name} start {time.time()} {os.getpid()}\n")
            step.set_tags({"world": json.dumps(world(step), sort_keys=True)})
            if todo.get("deaf"):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if todo.get("nested"):
                nested = NestedRuns(step.client, step.client.get_run(step.run_id), step.heartbeat)
                nested.open("inner", nested.open("outer"))
            while "meet" in todo and f"{todo['meet']} start" not in log.read_text():
                time.sleep(0.02)
            time.sleep(todo.get("sleep", 0))
            for line in todo.get("say", ()):
                print(line, file=sys.stderr)
            if todo.get("fail"):
                raise PipelineError(todo["fail"])
            if todo.get("kill"):
                os.kill(os.getpid(), signal.SIGKILL)
            with step.output(todo.get("writes", "out.txt")) as path:
                path.write_text(make(step, options))
            if todo.get("kill_late"):
                os.kill(os.getpid(), signal.SIGKILL)
            step.set_key_figure(f"{name} done")
            step.log_metrics({"length": 1.0})
            with log.open("a") as out:
                out.write(f"{name} end {time.time()} {os.getpid()}\n")
    except PipelineError as error:
        sys.exit(str(error))
    except SignalReceived as stop:
        sys.exit(128 + stop.signum)
