"""The notebooks of the guide run from first to last; what is kept of them is small and clean, and their text quotes it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from queue import Empty
from types import ModuleType

import nbformat
import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
NAMES = ("first-result", "first-method")
LARGEST = 60_000  # bytes
PATIENCE = 60  # seconds after which somebody interrupts a cell once more
PATH = re.compile(r"(?<![<\w.:/-])/\w+/\w")  # of a machine; not a tag, a link or a quotient
FIGURE = re.compile(r"\d+\.\d+")
Executed = Callable[[str], nbformat.NotebookNode]
SLOW = """
from pathlib import Path

from bench import Method


class Slow(Method):
    \"\"\"Never ends. Source: a test, 2026.\"\"\"

    def unlearn(self, model, data, trial):
        import threading

        (Path(__file__).parent / "running").touch()
        threading.Event().wait()
"""
CELL = """
import bench
from bench import Method

class InACell(Method):
    pass

bench.run(InACell)
"""


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    specification = importlib.util.spec_from_file_location("notebooks", GUIDE / "notebooks.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where notebooks run, with nothing at home."""
    path = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/nonexistent")
        patch.setenv("BENCH_DATA", str(path / "data"))
        yield path


@pytest.fixture(scope="module")
def executed(notebooks: ModuleType, folder: Path) -> Executed:
    """Those that are asked for, each once, in one folder and on the task that trains in a moment."""
    return cache(lambda name: notebooks.run(name, folder, _on_the_tiny_task))


def _on_the_tiny_task(source: str) -> str:
    return source.replace("models=8", 'models=8, task="age-tiny"')


def _family(folder: Path) -> list[psutil.Process]:
    """Every process that a kernel started in a folder, or a child of it, is."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("JUPYTER_RUNTIME_DIR") == str(folder)
        except psutil.Error:  # it has just ended, or is somebody else's
            continue
        found += [process] * ours
    return found


def _outputs(notebook: nbformat.NotebookNode, cell: str) -> str:
    """What a cell printed and answered, as text."""
    (found,) = [each for each in notebook.cells if each.id == cell]
    return "\n".join(each.get("text") or each.get("data", {}).get("text/plain", "") for each in found.outputs)


def _rows(notebook: nbformat.NotebookNode, cell: str) -> list[str]:
    """The index of a frame that a cell answered, or its first column."""
    (frame,) = [each for each in notebook.cells if each.id == cell]
    table = frame.outputs[-1].data["text/html"].partition("<tbody>")[2]
    return re.findall(r"<tr>\s*<th>(.*?)</th>", table)


def test_they_are_those_of_the_guide(notebooks: ModuleType) -> None:
    assert sorted(notebooks.NAMES) == sorted(NAMES) == sorted(path.stem for path in GUIDE.glob("*.ipynb"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_valid_small_and_clean(name: str) -> None:
    path = GUIDE / f"{name}.ipynb"
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert len(text.encode()) < LARGEST
    assert "plotly.js" not in text
    for cell in notebook.cells:
        assert not PATH.search(json.dumps(cell).replace("\\n", "\n"))
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"


@pytest.mark.parametrize("name", NAMES)
def test_the_text_quotes_what_the_notebook_prints(name: str) -> None:
    notebook = nbformat.read(GUIDE / f"{name}.ipynb", as_version=4)
    printed = FIGURE.findall("\n".join(_outputs(notebook, cell.id) for cell in notebook.cells if cell.cell_type == "code"))
    written = FIGURE.findall("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"))
    assert written
    assert set(written) <= set(printed)


def test_the_kernel_is_this_interpreter(notebooks: ModuleType, folder: Path) -> None:
    assert notebooks.manager(folder, KernelManager).kernel_spec.argv[0] == sys.executable


@pytest.mark.parametrize("name", ["first-result", pytest.param("first-method", marks=pytest.mark.slow)])
def test_every_cell_runs(executed: Executed, name: str) -> None:
    cells = [cell for cell in executed(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [output.output_type for cell in cells for output in cell.outputs if output.output_type == "error"] == []


def test_a_first_result(executed: Executed) -> None:
    notebook = executed("first-result")
    assert _outputs(notebook, "run").endswith("[]")
    assert _rows(notebook, "frame") == ["scrub", "noise-injection", "original"]
    assert _rows(notebook, "outputs") == ["scrub", "noise-injection", "original", "(retrained)"]
    assert len(_rows(notebook, "board")) == 3
    assert "distinguishable: " in _outputs(notebook, "compare")


@pytest.mark.slow
def test_a_first_method(executed: Executed) -> None:
    notebook = executed("first-method")
    checks = _outputs(notebook, "check").strip().splitlines()
    assert len(checks) == 17
    assert {line.split()[0] for line in checks} <= {"ok", "skip"}
    assert _outputs(notebook, "run").endswith("[]")
    assert len(_rows(notebook, "frame")) == 3
    assert "my_method[learning_rate=0.01]" in _outputs(notebook, "vary")
    assert "distinguishable: " in _outputs(notebook, "compare")


def test_progress_is_one_output_of_a_cell(executed: Executed) -> None:
    (cell,) = [cell for cell in executed("first-result").cells if cell.id == "run"]
    bars = [output for output in cell.outputs if "scrub: 8 trials" in output.get("data", {}).get("text/plain", "")]
    assert len(bars) == 1
    assert "stream" not in {output.output_type for output in cell.outputs}


def test_no_process_is_left(executed: Executed, folder: Path, ended) -> None:
    assert executed("first-result")
    ended(_family(folder))


@pytest.fixture
def kernel(notebooks: ModuleType, executed: Executed, folder: Path) -> Iterator[KernelManager]:
    """A kernel in the folder where a notebook ran."""
    executed("first-result")
    manager = notebooks.manager(folder, KernelManager)
    manager.start_kernel(env=notebooks.environment(folder), cwd=str(folder))
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.fixture
def client(kernel: KernelManager) -> Iterator[BlockingKernelClient]:
    client = kernel.blocking_client()
    client.start_channels()
    client.wait_for_ready()
    yield client
    client.stop_channels()


def _workers(kernel: KernelManager) -> list[psutil.Process]:
    """Not the two servers of multiprocessing, which live as long as the kernel does."""
    servers = psutil.Process(kernel.provisioner.pid).children()
    return [worker for server in servers for worker in server.children()]


@pytest.fixture
def begun(client: BlockingKernelClient, folder: Path, until) -> str:
    """Has a cell run, and in it a method that never ends; the number of the request."""
    (folder / "running").unlink(missing_ok=True)
    (folder / "slow.py").write_text(SLOW)
    asked: str = client.execute("import bench; bench.run('slow.py', models=8, task='age-tiny', budget='600s')")
    until((folder / "running").exists)
    return asked


def _interrupted(kernel: KernelManager, client: BlockingKernelClient, asked: str) -> dict:
    """What a cell answers that is interrupted, as by somebody who does so again when nothing happens."""
    for _ in range(10):
        kernel.interrupt_kernel()
        with suppress(Empty):
            while True:  # a kernel that was slow to start still answers who asked whether it is ready
                told = client.get_shell_msg(timeout=PATIENCE)
                if told["parent_header"]["msg_id"] == asked:
                    return told["content"]
    raise AssertionError("the cell goes on")


@pytest.mark.slow
def test_an_interrupted_cell_leaves_no_worker_behind(
    kernel: KernelManager, client: BlockingKernelClient, begun: str, ended
) -> None:
    workers = _workers(kernel)
    assert workers
    assert _interrupted(kernel, client, begun)["ename"] == "KeyboardInterrupt"
    ended(workers)
    assert client.execute("bench.load().frame()", reply=True)["content"]["status"] == "ok"


@pytest.mark.slow
def test_a_killed_kernel_leaves_no_process_behind(kernel: KernelManager, folder: Path, begun, ended) -> None:
    family = _family(folder)
    assert len(family) > len(_workers(kernel)) > 0
    kernel.shutdown_kernel(now=True)
    ended(family)


@pytest.mark.slow
def test_a_class_of_a_cell_is_refused_in_one_line(client: BlockingKernelClient) -> None:
    refused = client.execute(CELL, reply=True)["content"]
    assert refused["ename"] == "BenchError"
    assert re.fullmatch("InACell is no name: .* save it with %%writefile my_method.py .*", refused["evalue"])
