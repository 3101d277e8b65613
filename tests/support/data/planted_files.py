"""Files that an attacker might plant: an MLflow model folder and a pickle that runs code."""

import os
from pathlib import Path
from typing import Any

import yaml

CONF = {
    "loader_module": "mlflow.pyfunc.loaders.code_model",
    "model_code_path": "/anywhere/serving/model/pyfunc.py",
    "code": "code",
    "artifacts": {"recipe": {"path": "artifacts/recipe.json", "uri": "/tmp/recipe.json"}},
}


def write_model_folder(folder: Path, conf: dict[str, Any], **flavors: object) -> Path:
    """Write a model folder in MLflow's layout; return it."""
    for name, text in {
        "pyfunc.py": "x = 1",
        "code/stockpred/a.py": "a = 1",
        "artifacts/recipe.json": "{}",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    content = {"flavors": {"python_function": conf, **flavors}}
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    return folder


class MaliciousPickle:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)
