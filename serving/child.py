"""The process that a model answers in: run by its path, it imports nothing of the checkout.

It reads requests from stdin and writes answers to stdout until stdin ends; each is one Arrow
stream. An answer with `REFUSED` in its metadata says why there is none.
"""

import os
import sys
from typing import Any

import pyarrow as pa

REFUSED = b"refused"


def main(model_path: str, dates: str) -> None:
    """Load the model and answer each request."""
    # What libraries print belongs on stderr: stdout is for answers alone.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import mlflow.pyfunc

    try:
        model = mlflow.pyfunc.load_model(model_path)
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        sys.exit(f"the model cannot be loaded ({words[:500]})")
    requests = open(0, "rb")  # noqa: SIM115 - as long as the process
    while requests.peek(1):
        table = _answer(model, pa.ipc.open_stream(requests).read_all(), dates == "all")
        with pa.ipc.new_stream(answers, table.schema) as stream:
            stream.write_table(table)
        answers.flush()


def _answer(model: Any, bars: pa.Table, all_dates: bool) -> pa.Table:
    from mlflow.exceptions import MlflowException

    try:
        found = model.predict(bars.to_pandas(), params={"all_dates": all_dates})
    except MlflowException as error:
        return pa.table({}).replace_schema_metadata({REFUSED: error.message.encode()})
    return pa.Table.from_pandas(found, preserve_index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
