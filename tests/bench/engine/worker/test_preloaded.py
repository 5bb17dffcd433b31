"""Where workers cannot be started the reason is told, and what to do: torch is blamed where it is to blame."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process  # every test here starts one

CODE = """
import resource, sys
from bench.engine.machine import find_device
from bench.errors import WorkerError

if len(sys.argv) > 1:
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
try:
    find_device("cpu")
except WorkerError as problem:
    print(problem)
"""
BROKEN = {
    'raise ImportError("libtorch_cpu.so: cannot open shared object file")': (
        "what workers compute with cannot be imported (ImportError: libtorch_cpu.so: cannot open shared object file);"
        " install torch and torchvision again\n"
    ),
    'raise RuntimeError("made for another processor")': (
        "what workers compute with cannot be imported (RuntimeError: made for another processor);"
        " install torch and torchvision again\n"
    ),
    'raise ImportError("libtorch.so: failed to map segment from shared object")': (
        "what workers compute with cannot be imported (ImportError: libtorch.so: failed to map segment from shared object);"
        " free some memory, allow more with `ulimit -v`, or use fewer --workers\n"
    ),
    "import os; os._exit(3)": (
        "no worker process can be started: the process that forks them died, of lack of memory perhaps;"
        " what it printed last says more\n"
    ),
}


def _said(*arguments: str, path: Path | None = None) -> str:
    first = os.pathsep.join(filter(None, [str(path or ""), os.environ.get("PYTHONPATH", "")]))
    command, environment = [sys.executable, "-c", CODE, *arguments], {**os.environ, "PYTHONPATH": first}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("torch", BROKEN)
def test_a_torch_that_cannot_be_imported(torch: str, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(torch)
    assert _said(path=tmp_path) == BROKEN[torch]


def test_too_few_open_files() -> None:
    assert _said("12") == (
        "no worker process can be started: OSError: [Errno 24] Too many open files;"
        " allow more open files with `ulimit -n`, or use fewer --workers\n"
    )
