"""Process that predicts with a model: run by its path, it imports nothing of the checkout.

It reads requests from stdin and writes answers to stdout until stdin ends; each is one Arrow
stream. An answer with `REFUSED` in its metadata has the reason there instead of rows.
"""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel
    from mlflow.pyfunc.model import PythonModel

REFUSED = b"refused"


def main(model_path: str, dates: str) -> None:
    """Load the model and answer each request.

    Parameters
    ----------
    model_path : str
        Folder of the model, with its MLmodel file.
    dates : str
        ``all``: predict every session with enough history; else the last of each symbol.
    """
    # Prints of libraries go to stderr: stdout is for answers alone.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        # Without MLflow's check of types: the tables have the model's, and the model checks them.
        model = load(model_path).unwrap_python_model()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        sys.exit(f"the model cannot be loaded ({reason[:500]})")
    requests = open(0, "rb")  # noqa: SIM115 - as long as the process
    while requests.peek(1):
        table = answer(model, pa.ipc.open_stream(requests).read_all(), dates == "all")
        with pa.ipc.new_stream(answers, table.schema) as stream:
            stream.write_table(table)
        answers.flush()


def load(folder: str) -> "PyFuncModel":
    """Load a logged model; warn on stderr where its requirements are not met.

    MLflow's own comparison reads the file list of every installed package, which takes a second.
    """
    import mlflow.pyfunc

    if unmet := _unmet(Path(folder, "requirements.txt").read_text().splitlines()):
        sys.stderr.write(f"warning: made with {', '.join(unmet)}: predictions may differ here\n")
    return mlflow.pyfunc.load_model(folder, suppress_warnings=True)


def _unmet(requirements: list[str]) -> list[str]:
    """List those of some `name==version` that are not installed so, with what is."""
    unmet = []
    for name, _, required in (line.strip().partition("==") for line in requirements):
        try:
            here = version(name) if required else required
        except PackageNotFoundError:
            here = "none"
        if here != required:
            unmet.append(f"{name} {required} (here {here})")
    return unmet


def answer(model: "PythonModel", bars: pa.Table, all_dates: bool) -> pa.Table:
    """Predict one request.

    Parameters
    ----------
    model : PythonModel
        As `load` and ``unwrap_python_model`` give it.
    bars : Table
        Bars as the model takes them.
    all_dates : bool
        Predict every session with enough history, not only the last of each symbol.

    Returns
    -------
    Table
        The predictions; of a request that the model refuses no row, and the reason as `REFUSED` in
        the metadata.
    """
    from mlflow.exceptions import MlflowException

    try:
        predictions = model.predict(None, bars.to_pandas(), {"all_dates": all_dates})
    except MlflowException as error:
        return pa.table({}).replace_schema_metadata({REFUSED: error.message.encode()})
    return pa.Table.from_pandas(predictions, preserve_index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
