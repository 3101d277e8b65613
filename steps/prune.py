"""Removes artifacts and models of old runs that no alias and no cache hit needs."""

import sys

import click

from steps.cli.command import Option, Program


@click.command(help=__doc__)
@click.option(
    "--keep",
    cls=Option,
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="number of the newest finished runs of `main` whose artifacts and models are kept",
)
def command(keep: int) -> None:
    """Prune the experiment that `main` would run in."""
    from mlflow import MlflowClient, get_tracking_uri

    from pipeline.registry.prune import prune
    from pipeline.tracking.experiment import current_experiment
    from pipeline.tracking.server_check import prepare_store

    prepare_store(get_tracking_uri())
    client = MlflowClient()
    done = prune(client, str(current_experiment(client).experiment_id), keep)
    click.echo(
        f"removed the artifacts of {done.runs} runs, {done.models} models, {done.versions} versions"
    )


main = Program(command)

if __name__ == "__main__":
    sys.exit(main())
