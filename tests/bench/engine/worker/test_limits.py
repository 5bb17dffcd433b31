"""Limits of control groups, in trees of plain files as the kernel keeps them: the tests' machine may have none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from bench.engine import diagnosis, machine
from bench.engine.neighbours import Neighbours
from bench.engine.worker import limits
from bench.engine.worker.limits import Limits

GB = 10**9


def tree(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def second(folder: Path, path: str = "/") -> Limits:
    """What version 2 gives a process in the group `path`."""
    return Limits.read(f"cgroup2 {folder} cgroup2 rw 0 0\n", f"0::{path}\n")


def test_no_groups_limit_nothing(tmp_path: Path) -> None:
    assert Limits.read("", "") == Limits()
    assert Limits.read("tmpfs /x tmpfs rw 0 0\nshort", "0::/a\n7:pids:/\nnonsense\n") == Limits()
    assert second(tmp_path) == Limits()  # the first of all groups has no such files


@pytest.mark.parametrize(
    ("said", "cores"), [("150000 100000", 1.5), ("max 100000", None), ("400000 100000", 4.0), ("", None), ("x y", None)]
)
def test_cores_of_version_2(tmp_path: Path, said: str, cores: float | None) -> None:
    tree(tmp_path, {"cpu.max": f"{said}\n"})
    assert second(tmp_path).cores == cores


@pytest.mark.parametrize(("quota", "cores"), [("50000", 0.5), ("-1", None), ("0", None)])
def test_cores_of_version_1(tmp_path: Path, quota: str, cores: float | None) -> None:
    tree(tmp_path, {"cpu.cfs_quota_us": f"{quota}\n", "cpu.cfs_period_us": "100000\n"})
    mounts = f"cgroup {tmp_path} cgroup rw,cpu,cpuacct 0 0\ncgroup /elsewhere cgroup rw,memory 0 0"
    assert Limits.read(mounts, "3:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n") == Limits(cores, None)


def test_memory_of_version_2_is_what_is_left_of_it(tmp_path: Path) -> None:
    tree(tmp_path, {"memory.max": f"{4 * GB}\n", "memory.current": f"{3 * GB}\n"})
    assert second(tmp_path).memory == GB
    tree(tmp_path, {"memory.stat": f"anon 5\ninactive_file {2 * GB}\n"})
    assert second(tmp_path).memory == 3 * GB
    tree(tmp_path, {"memory.max": "max\n", "memory.high": f"{2 * GB}\n", "memory.stat": "nonsense"})
    assert second(tmp_path).memory == 0  # it has more than it should
    tree(tmp_path, {"memory.high": "max\n"})
    assert second(tmp_path).memory is None


def test_memory_of_version_1(tmp_path: Path) -> None:
    mounts, memberships = f"cgroup {tmp_path} cgroup rw,memory 0 0", "4:memory:/\n0::/\n"
    tree(tmp_path, {"memory.limit_in_bytes": f"{2 * GB}\n", "memory.usage_in_bytes": f"{GB}\n"})
    assert Limits.read(mounts, memberships).memory == GB
    tree(tmp_path, {"memory.limit_in_bytes": "9223372036854771712\n"})
    assert Limits.read(mounts, memberships).memory is None


def test_the_narrowest_of_all_groups_around_counts(tmp_path: Path) -> None:
    tree(tmp_path, {"cpu.max": "100000 100000", "a/cpu.max": "max 100000", "a/b/cpu.max": "300000 100000"})
    tree(tmp_path, {"a/memory.max": "500", "a/memory.current": "100", "a/b/memory.max": "900", "a/b/memory.current": "100"})
    assert second(tmp_path, "/a/b") == Limits(1.0, 400)
    assert second(tmp_path, "/not/seen/here") == Limits(1.0, None)  # a container without a name space for groups
    tree(tmp_path.parent, {"cpu.max": "1000 100000"})
    assert second(tmp_path, "/../../above") == Limits(1.0, None)


@pytest.fixture
def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process is in a group with a core and a half, and a GB."""
    tree(tmp_path, {"cpu.max": "150000 100000", "memory.max": f"{GB}", "memory.current": "0"})
    files = {"/proc/self/mounts": f"cgroup2 {tmp_path} cgroup2 rw 0 0", "/proc/self/cgroup": "0::/"}
    read = limits.text_of
    monkeypatch.setattr(limits, "text_of", lambda path: files.get(str(path)) or read(path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64 * GB}))
    return tmp_path


def test_workers_and_their_memory_keep_to_it(limited: Path) -> None:
    assert machine.default_workers("cpu") == 1
    assert machine.default_memory_limit(2) == 450_000_000
    tree(limited, {"cpu.max": "350000 100000", "memory.max": f"{100 * GB}"})
    assert machine.default_workers("cpu") == 3
    assert machine.default_memory_limit(1) == int(57.6 * GB)
    tree(limited, {"cpu.max": "10000 100000"})
    assert machine.default_workers("cpu") == 1
    tree(limited, {"cpu.max": "max 100000"})
    assert machine.default_workers("cpu") == 8
    assert machine.default_workers("a GPU") == 1


def test_the_doctor_says_so(limited: Path) -> None:
    assert "1 workers of one thread each, 16 cores (1.5 may be used)" in diagnosis._threads(None, Neighbours()).seen
    assert diagnosis._memory(None).well
    tree(limited, {"memory.max": f"{GB // 2}"})
    assert diagnosis._memory(None).problem == "0.5 GB for each of 1 workers is too little"
