"""A diamond: first, then left and right side by side, then last."""

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


def next_steps(client, done):
    """A second first, after everything, where the first said so."""
    said = client.get_run(done[0].run_id).data.params["word"]
    if said != "more" or len(done) > len(STEPS):
        return ()
    fixed = {"word": "again"}
    return [Step("again", (), fixed_params=fixed, after=("last",), entry_point="first")]


def main():
    argv = sys.argv[1:]
    given = {argv[i].removeprefix("--"): argv[i + 1] for i in range(0, len(argv), 2)}
    params = {"word": "a", "cache": "on", "backend": "warm", **given}
    try:
        project = Project(ROOT, "steps", preload=("json",))
        done = run_project(project, STEPS, ChainParams(params, params), next_steps=next_steps)
    except Interrupted as stop:
        sys.exit(128 + stop.signum)
    except PipelineError as error:
        sys.exit(f"error: {error}")
    print(json.dumps({d.step: [d.status, d.run_id] for d in done}))


if __name__ == "__main__":
    main()
