"""Runs the notebooks beside this file from their first cell to the last, and keeps what they print.

python docs/guide/notebooks.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager, KernelManager
from nbclient import NotebookClient

HERE = Path(__file__).parent
NAMES = ("first-result", "first-method")  # in one folder the second finds the retrained models of the first
LONGEST = 900  # seconds for a cell
Manager = TypeVar("Manager", bound=KernelManager)
FIGURE = "application/vnd.plotly.v1+json"


def run(name: str, folder: Path, changed: Callable[[str], str] = str) -> nbformat.NotebookNode:
    """A notebook after its cells, as they are or changed, were run in a folder."""
    notebook: nbformat.NotebookNode = nbformat.read(path(name), as_version=4)
    for cell in notebook.cells:
        cell.source = changed(cell.source)
    where = {"metadata": {"path": str(folder)}}
    kernel = manager(folder, AsyncKernelManager)
    client = NotebookClient(notebook, km=kernel, timeout=LONGEST, record_timing=False, coalesce_streams=True, resources=where)
    client.execute(cleanup_kc=True, env=environment(folder))
    return notebook


def manager(folder: Path, kind: type[Manager]) -> Manager:
    """Of a kernel of this interpreter, whatever kernels the user has installed."""
    return kind(connection_file=str(folder / "kernel.json"), kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))


def path(name: str) -> Path:
    """Where a notebook lies."""
    return HERE / f"{name}.ipynb"


def environment(folder: Path) -> Mapping[str, str]:
    """What a kernel is told, so that it reads and writes nothing of the user's; figures are kept without plotly.js."""
    own = {name: str(folder / ".jupyter") for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, **own, "JUPYTER_RUNTIME_DIR": str(folder), "PATH": commands, "PLOTLY_RENDERER": "plotly_mimetype"}


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """What is kept: what cells print and answer, and figures; no progress, nothing of the machine."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.output_type != "display_data" or FIGURE in each.data]
    notebook.metadata.language_info = {"name": "python"}  # without the version
    return notebook


def main() -> None:
    """Run all, then write all."""
    with tempfile.TemporaryDirectory() as folder:
        notebooks = {name: tidy(run(name, Path(folder))) for name in NAMES}
    for name, notebook in notebooks.items():
        nbformat.write(notebook, path(name))


if __name__ == "__main__":
    main()
