"""Registered models whose versions hold nothing: for moves, which never open one."""

from mlflow import MlflowClient


def new(client: MlflowClient, name: str, versions: int) -> None:
    client.create_registered_model(name)
    for number in range(versions):
        client.create_model_version(name, f"/models/{name}/{number}")
