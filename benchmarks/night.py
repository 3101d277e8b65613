"""Measure a night on a machine that is new every night, against a lasting server.

It runs the scheduled job's own steps, with a git server, PostgreSQL
and MLflow's server of the tests. Every night the source has one session more. CPU is that of the
job's processes, user and system: unlike seconds, it hardly depends on what else the machine does.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.paths import ROOT
from tests.support.runs.workflow_jobs import REPOSITORY, Job, WorkflowNights
from tests.support.servers.git_server import git_server
from tests.support.servers.tracking_server import mlflow_server, postgres

SYMBOLS = ("AAPL", "MSFT")
KINDS = {
    "first night: nothing on the server": {},
    "empty disk, packages from the index": {"empty": True},
    "empty disk, packages from uv's cache": {},
    "environment restored": {"restored": True},
}


def night(
    nights: WorkflowNights, sessions: int, empty: bool = False, restored: bool = False
) -> Job:
    """Run one night on the first so many sessions of the embedded bars."""
    bars = pq.read_table(ROOT / "data" / "us5_daily.parquet").to_pandas()
    bars = bars[bars["symbol"].isin(SYMBOLS)]
    last = sorted(bars["date"].unique())[sessions - 1]
    bars[bars["date"] <= last].to_csv(nights.folder / "bars.csv", index=False)
    kept = nights.environment
    if not restored:
        nights.environment = None
    nights.env = {"UV_CACHE_DIR": tempfile.mkdtemp(dir=nights.folder)} if empty else {}
    job = nights.night(retrain_every="1000")
    nights.environment = kept or nights.environment
    if job.outcomes["Night"] != "success":
        raise SystemExit(job.outputs["Night"])
    return job


def cpu() -> float:
    """CPU seconds of all ended processes below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print a table of seconds, one row a night."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        git_server(Path(folder, "git")) as git,
        postgres() as database,
        mlflow_server(Path(folder, "server"), database.uri) as server,
    ):
        git.publish(ROOT, REPOSITORY)
        (git.folder / REPOSITORY).symlink_to(git.folder / f"{REPOSITORY}.git")
        nights = WorkflowNights(git, server, Path(folder))
        nights.variables = {"SOURCE": str(Path(folder, "bars.csv")), "SYMBOLS": "all"}
        rows = ["| a night | environment, s | run, s | summary, s | all, s | CPU, s |"]
        rows += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
        for number, (name, kind) in enumerate(KINDS.items()):
            began, used = time.monotonic(), cpu()
            job = night(nights, 3200 + number, **kind)
            seconds = [job.seconds[step] for step in ("Environment", "Night", "Summary")]
            figures = [*seconds, time.monotonic() - began, cpu() - used]
            rows.append(f"| {name} | " + " | ".join(f"{figure:.0f}" for figure in figures) + " |")
            sys.stdout.write(rows[-1] + "\n")
        sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
