"""A chain of four steps: first, then left and right side by side, then last."""

import json
import sys
from pathlib import Path

from pipeline.errors import Interrupted, PipelineError
from pipeline.chain.run_project import run_project
from pipeline.step import ChainParams, Output, Project, Step

ROOT = Path(__file__).resolve().parent.parent
OUT = "out.txt"
STEPS = (
    Step("first", ("word",)),
    Step("left", (), {"text": Output("first", OUT)}),
    Step("right", (), {"text": Output("first", OUT)}),
    Step("last", (), {"one": Output("left", OUT), "two": Output("right", OUT)}),
)


def next_steps(client, finished):
    """Add a second run of `first` at the end, if its word was `more`."""
    word = client.get_run(finished[0].run_id).data.params["word"]
    if word != "more" or len(finished) > len(STEPS):
        return ()
    fixed = {"word": "again"}
    return [Step("again", (), fixed_params=fixed, after=("last",), entry_point="first")]


def main():
    argv = sys.argv[1:]
    options = {argv[i].removeprefix("--"): argv[i + 1] for i in range(0, len(argv), 2)}
    params = {"word": "a", "cache": "on", "backend": "warm", **options}
    try:
        project = Project(ROOT, "steps", preload=("json",))
        finished = run_project(project, STEPS, ChainParams(params, params), next_steps=next_steps)
    except Interrupted as stop:
        sys.exit(128 + stop.signum)
    except PipelineError as error:
        sys.exit(f"error: {error}")
    print(json.dumps({step.step: [step.status, step.run_id] for step in finished}))


if __name__ == "__main__":
    main()
