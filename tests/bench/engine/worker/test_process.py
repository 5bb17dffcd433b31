"""Children are asked one thing at a time, and their death is told; `test_watch.py` has what they are killed for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.errors import WorkerError
from bench.store.fields import Record

pytestmark = pytest.mark.process  # every test here starts one


class Sum(Record, frozen=True, kw_only=True):
    """What `add` answers."""

    sum: int


def test_answers(start) -> None:
    worker = start()
    assert worker.ask("add", a=1, b=2).read(Sum) == Sum(sum=3)
    with pytest.raises(WorkerError, match="KeyError"):
        worker.ask("no such thing")
    assert worker.ask("add", a=1, b=2).read(Sum) == Sum(sum=3)


def test_cpu_time_is_charged_and_sleep_is_not(start) -> None:
    worker = start()
    worker.ask("add", a=1, b=2)
    before = worker.clock()
    worker.ask("spin", seconds=0.3)
    spun = worker.clock()
    worker.ask("sleep", seconds=0.3)
    assert spun - before >= 0.28  # the kernel counts in ticks
    assert worker.clock() - spun < 0.28


def test_death_is_told(start) -> None:
    worker = start()
    with pytest.raises(WorkerError, match=r"ended \(exit code 3\)") as caught:
        worker.ask("leave")
    assert caught.value.kind == "died"


def test_a_child_that_dies_and_leaves_one_with_its_pipe_is_dead(start) -> None:
    worker = start()
    worker.ask("add", a=1, b=2)
    with pytest.raises(WorkerError, match="exit code 3"):  # to wait for the limit would have another reason
        worker.ask("leave_a_child", limit=100.0)


def test_the_server_of_children_is_there_before_anybody_asks() -> None:
    """In a process of its own: in this one other tests have started it."""
    code = """
import psutil
from bench.engine.worker.forking import prepare_children
prepare_children()
for _ in range(10_000):  # between fork and exec its line is that of this process
    server = [line for process in psutil.Process().children() for line in process.cmdline() if "forkserver" in line]
    if server:
        break
print(server)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "from multiprocessing.forkserver import main" in done.stdout


def test_the_server_of_children_never_uses_cuda() -> None:
    """A fork of a process that did cannot use it. Here every such use fails, also where there is a CUDA device."""
    code = """
import importlib, sys, torch
from bench.engine.worker.forking import PRELOADED

def used(*_):
    raise AssertionError("CUDA is used")

for name in ("_cuda_init", "_cuda_getDeviceCount", "_cuda_isInBadFork"):
    setattr(torch._C, name, used)
torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = used
for name in PRELOADED:
    importlib.import_module(name)
print(sys.modules["bench.engine.worker.preloaded"].failure)
print("CUDA is initialised:", torch.cuda._initialized)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None\nCUDA is initialised: False\n"
