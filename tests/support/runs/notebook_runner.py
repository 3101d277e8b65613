"""A program that executes a copy of a notebook, apart from tests since its sockets warn.

`python notebook_runner.py NOTEBOOK OUT SECONDS`: in the notebook's folder, with this Python.
"""

import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


def main(notebook: Path, out: Path, seconds: int) -> None:
    """Execute a copy and write it, after a failing cell too."""
    copy = nbformat.read(notebook, 4)
    # Without kernel folders only ipykernel's own kernel is left, on sys.executable.
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
