"""Executes a notebook and writes what came of it, in a process of its own: its sockets warn.

`python notebook_runner.py NOTEBOOK OUT SECONDS`: in the notebook's folder, with this Python.
"""

import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


def main(notebook: Path, out: Path, seconds: int) -> None:
    """Execute a copy; with a cell that fails it is written up to there."""
    copy = nbformat.read(notebook, 4)
    # Without folders of kernels there is only ipykernel's own, on sys.executable.
    kernels = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        copy,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels),
        timeout=seconds,
        startup_timeout=seconds,
        resources={"metadata": {"path": str(notebook.parent)}},
    )
    try:
        client.execute()
    finally:
        nbformat.write(copy, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
