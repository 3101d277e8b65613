"""The process that a model answers in: run by its path, it imports nothing of the checkout.

It reads requests from stdin and writes answers to stdout until stdin ends; each is one Arrow
stream. An answer with `REFUSED` in its metadata says why there is none.
"""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa

REFUSED = b"refused"


def main(model_path: str, dates: str) -> None:
    """Load the model and answer each request."""
    # What libraries print belongs on stderr: stdout is for answers alone.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        # Past MLflow's check of types: these tables are made with the model's, and it checks them.
        model = load(model_path).unwrap_python_model()
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        sys.exit(f"the model cannot be loaded ({words[:500]})")
    requests = open(0, "rb")  # noqa: SIM115 - as long as the process
    while requests.peek(1):
        table = _answer(model, pa.ipc.open_stream(requests).read_all(), dates == "all")
        with pa.ipc.new_stream(answers, table.schema) as stream:
            stream.write_table(table)
        answers.flush()


def load(folder: str) -> Any:
    """Load a logged model, with a word on stderr where its requirements are not met.

    MLflow's own comparison reads the list of files of every package installed: a second.
    """
    import mlflow.pyfunc

    if unmet := _unmet(Path(folder, "requirements.txt").read_text().splitlines()):
        sys.stderr.write(f"warning: made with {', '.join(unmet)}: it may answer otherwise here\n")
    return mlflow.pyfunc.load_model(folder, suppress_warnings=True)


def _unmet(requirements: list[str]) -> list[str]:
    """Which of some `name==version` are not what is installed, and what is."""
    found = []
    for name, _, wanted in (line.strip().partition("==") for line in requirements):
        try:
            here = version(name) if wanted else wanted
        except PackageNotFoundError:
            here = "none"
        if here != wanted:
            found.append(f"{name} {wanted} (here {here})")
    return found


def _answer(model: Any, bars: pa.Table, all_dates: bool) -> pa.Table:
    from mlflow.exceptions import MlflowException

    try:
        found = model.predict(None, bars.to_pandas(), {"all_dates": all_dates})
    except MlflowException as error:
        return pa.table({}).replace_schema_metadata({REFUSED: error.message.encode()})
    return pa.Table.from_pandas(found, preserve_index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
