"""Whatever a trial starts is counted and ended, however far it gets away; and one plugin costs one row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from bench.engine import compute, runs, unlearning
from bench.engine.failures import FailureLimit
from bench.engine.worker.group import ControlGroup
from bench.store.runs import Run

HEAD = '''"""A plugin that gets away."""
import ctypes
import fcntl
import gc
import os
import platform
import signal
import tempfile
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch

from bench import Method

LIBC = ctypes.CDLL(None)
CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
CLONE_PARENT = 0x8000


def burn(seconds=0.3):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def stay():
    time.sleep(10_000)


def cut_loose(work):
    """Nobody's child: no orphan falls to this process, and its session is another."""
    LIBC.prctl(36, 0)
    reads, writes = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            if work is stay:
                os.write(writes, b".")
            work()
            os.write(writes, b".")
            os._exit(0)
        os._exit(0)
    os.wait()
    os.read(reads, 1)


def beside_me(work):
    """A sibling, not a child."""
    reads, writes = os.pipe()
    if LIBC.syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        work()
        os.write(writes, b".")
        os._exit(0)
    os.read(reads, 1)


def leave_group():
    for line in open("/proc/self/cgroup"):
        if line.startswith("0::") and "/bench-" in line:
            for place in (mount.split()[1] for mount in open("/proc/mounts") if mount.split()[2] == "cgroup2"):
                (Path(place + line[3:].strip()).parent / "cgroup.procs").write_text(str(os.getpid()))


def in_a_child(work):
    """One that is gone before anybody has seen it."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    os.waitpid(child, 0)


def server():
    """Who forked this process, unless somebody has ended it."""
    parent = psutil.Process(os.getppid())
    assert "forkserver" in " ".join(parent.cmdline())
    return parent


def connections():
    gc.unfreeze()
    return [item for item in gc.get_objects() if isinstance(item, Connection) and not item.closed]


class Plugin(Method):
    """Source: nobody 2026."""

    def unlearn(self, model, data, trial):
'''
WORKING = {
    "cuts-loose": "cut_loose(burn)",
    "clones-itself-beside": "beside_me(burn)",
    "leaves-its-group": "leave_group()\nburn()",
    "leaves-its-group-with-children": "leave_group()\nfor _ in range(6):\n    in_a_child(lambda: burn(0.05))",
}
HARMING = {
    "leaves-sleepers": ("for _ in range(5): cut_loose(stay)\nreturn model", "still there after unlearn has returned"),
    "fills-memory-without-a-name": (
        """
file = os.memfd_create("mine")
for _ in range(30):
    os.write(file, bytes(50_000_000))
stay()
""",
        "the limit is 1.0 GB",
    ),
    "stops-the-server": ("server().suspend()\nraise ValueError('stopped it')", "stopped it"),
    "kills-the-server": ("server().kill()\nraise ValueError('killed it')", ""),
    "stops-its-siblings": (
        """
for process in server().children():
    if process.pid != os.getpid():
        with suppress(psutil.Error):  # some have done their part and are gone
            process.suspend()
raise ValueError('stopped them')
""",
        "stopped them",
    ),
    "half-a-message-and-a-daemon": (
        """
cut_loose(stay)
for one in connections():
    os.write(one.fileno(), b"\\0\\0\\1\\0abc")
os._exit(0)
""",
        "ended (exit code 0)",
    ),
    "keeps-the-device": (
        """
folder = Path(os.environ.get("USERS_TMPDIR", "/tmp"))
room = open(folder / "bench-cpu.room", "rb")
def hold():
    fcntl.flock(room, fcntl.LOCK_EX)
    stay()
cut_loose(hold)
raise ValueError('kept it')
""",
        "",
    ),
}
LAST = "honest"


@dataclass(frozen=True)
class Escapes:
    """What one command with all of them came to."""

    rows: dict[str, dict]
    store: Path
    left_behind: list[str]

    def seconds(self, name: str) -> list[float]:
        """Of the trials that were timed."""
        record = Run.read(self.store / "runs" / self.rows[name]["run"]).record
        assert len(record.alone) >= 3
        return [each.seconds for each in record.alone]


@pytest.fixture(scope="module", params=["in control groups", pytest.param("by descent", marks=pytest.mark.slow)])
def escapes(request, run, pristine, left_behind, tmp_path_factory: pytest.TempPathFactory) -> Escapes:
    """With control groups, if this machine has them, and as where there are none."""
    folder = tmp_path_factory.mktemp("escapes")
    shutil.copytree(pristine.path, folder / "store")
    bodies = {
        **{name: f"{body}\nreturn model" for name, body in WORKING.items()},
        **{name: body for name, (body, _) in HARMING.items()},
    }
    bodies[LAST] = "return model"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "by descent":
            patch.setattr(ControlGroup, "around", lambda pid: None)
        for place in (compute, unlearning):
            patch.setattr(place, "limit_seconds", lambda allowance, models=1: 2.0 * models)
        patch.setattr(runs, "FailureLimit", partial(FailureLimit, 1))
        asked = list(_written(folder, bodies))
        done = run(*asked, "--budget", "10s", "--memory-limit", "1GB", "--store", folder / "store", "--json", code=2)
    left = [str(process) for process in left_behind()]
    return Escapes({row["method"]["name"]: row for row in json.loads(done.stdout)}, folder / "store", left)


def _written(folder: Path, bodies: dict[str, str]) -> Iterable[str]:
    for name, body in bodies.items():
        lines = "".join(f"        {line}\n" for line in body.strip().splitlines())
        (folder / f"{name}.py").write_text(HEAD + lines)
        yield from ("--plugin", str(folder / f"{name}.py"))


@pytest.mark.parametrize("name", WORKING)
def test_work_is_counted_wherever_it_is_done(escapes: Escapes, name: str) -> None:
    assert min(escapes.seconds(name)) >= 0.28  # clocks count in ticks


@pytest.mark.parametrize("name", HARMING)
def test_harm_is_a_row_with_its_reason(escapes: Escapes, name: str) -> None:
    assert "/8 trials: " in escapes.rows[name]["failure"]  # while two run beside each other, a stray is nobody's
    assert HARMING[name][1] in escapes.rows[name]["failure"]


def test_later_rows_go_on(escapes: Escapes) -> None:
    assert not escapes.rows[LAST]["failure"]
    assert len(escapes.seconds(LAST)) >= 3


def test_nothing_is_left_behind(escapes: Escapes) -> None:
    assert escapes.left_behind == []
