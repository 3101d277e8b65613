"""Removes artifacts and models of old runs that no alias and no cache hit needs."""

import os
import sys

import click

from steps.shell import QUIET, told_in_one_line


@click.command(help=__doc__)
@click.option(
    "--keep", type=click.IntRange(1), default=30, show_default=True,
    help="how many of the newest finished main runs keep all they are made of",
)  # fmt: skip
def main(keep: int) -> None:
    """Prune the experiment that `main` would run in."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with told_in_one_line():
        from mlflow import MlflowClient, get_tracking_uri
        from mlflow.tracking.fluent import _get_experiment_id

        from pipeline.prune import prune
        from pipeline.server import ready

        ready(get_tracking_uri())
        done = prune(MlflowClient(), str(_get_experiment_id()), keep)
        click.echo(
            f"removed the artifacts of {done.runs} runs, {done.models} models, "
            f"{done.versions} versions"
        )


if __name__ == "__main__":
    sys.exit(main())
