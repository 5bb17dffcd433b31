"""Control groups: the operating system's own account of what a child and all that it starts use, and their end at once.

Of cgroup v2 two files are needed, which every group has: `cpu.stat` and `cgroup.kill`. Both are there on hybrid trees, too.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench.engine.worker.limits import numbers_of, text_of
from bench.lifetime import adopt_orphans

UNCOUNTED_REMEDY = "allow PR_SET_CHILD_SUBREAPER, or let control groups be made; until then trust no stranger's runtime"
_numbers = itertools.count()
_PREFIX = "bench"
_PATIENCE, _PAUSE = 2.0, 0.002  # seconds for killed processes to be gone; between two looks


class ControlGroup:
    """A group with one child in it; whatever that starts is born into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def around(cls, pid: int) -> ControlGroup | None:
        """A new group with a process in it; None where none can be made."""
        place = _place()
        return cls.within(place, pid) if place else None

    @staticmethod
    def can_be_made() -> bool:
        """Whether this process may make groups, found by making one."""
        place = _place()
        group = place and ControlGroup._new(place)
        return bool(group and group._remove())

    @classmethod
    def within(cls, place: Path, pid: int) -> ControlGroup | None:
        """The same in a folder of groups."""
        _forget_abandoned(place)
        group = cls._new(place)
        if not group:
            return None
        try:
            (group._folder / "cgroup.procs").write_text(str(pid), encoding="ascii")
            group.cpu_seconds()
        except (OSError, KeyError, ValueError):
            group._remove()
            return None
        return group

    @classmethod
    def _new(cls, place: Path) -> ControlGroup | None:
        """An empty one, with all that is needed of it."""
        group = cls(place / f"{_PREFIX}-{os.getpid()}-{next(_numbers)}")
        try:
            group._folder.mkdir()
        except OSError:
            return None
        if all((group._folder / name).exists() for name in ("cpu.stat", "cgroup.kill", "cgroup.procs")):
            return group
        group._remove()
        return None

    def cpu_seconds(self) -> float:
        """Seconds of CPU time of all that have ever been in it.

        Raises:
            OSError: the group is gone.
        """
        return numbers_of(self._folder / "cpu.stat")["usage_usec"] / 1e6

    def memory(self) -> int | None:
        """Bytes of memory that nobody else has, also of files in memory; None without the controller for memory."""
        with suppress(OSError, KeyError, ValueError):
            fields = numbers_of(self._folder / "memory.stat")
            return fields["anon"] + fields["shmem"]
        return None

    def members(self) -> set[int]:
        """Who is in it now.

        Raises:
            OSError: the group is gone.
        """
        return {int(line) for line in (self._folder / "cgroup.procs").read_text(encoding="ascii").split()}

    def kill(self) -> None:
        """End everybody in it."""
        with suppress(OSError):
            (self._folder / "cgroup.kill").write_text("1", encoding="ascii")

    def close(self) -> None:
        """End everybody in it, and remove it."""
        self.kill()
        end = time.monotonic() + _PATIENCE
        while self._folder.is_dir() and not self._remove() and time.monotonic() < end:
            time.sleep(_PAUSE)

    def _remove(self) -> bool:
        with suppress(OSError):
            self._folder.rmdir()
            return True
        return False


def uncounted() -> str:
    """Of which processes of a method nobody would know on this machine, in words; "" if there are none."""
    if sys.platform != "linux" or ControlGroup.can_be_made():
        return ""
    adopted = adopt_orphans()
    adopt_orphans(False)
    return "" if adopted else "processes that a method starts and cuts loose are neither counted nor ended: prctl is refused"


def _place() -> Path | None:
    return own_place(text_of("/proc/self/mounts"), text_of("/proc/self/cgroup"))


def own_place(mounts: str, memberships: str) -> Path | None:
    """The folder of this process's own group, from /proc/self/mounts and /proc/self/cgroup; None without cgroup v2.

    >>> own_place("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "0::/user.slice/a.scope")
    PosixPath('/sys/fs/cgroup/user.slice/a.scope')
    """
    points = [fields[1] for fields in map(str.split, mounts.splitlines()) if len(fields) > 2 and fields[2] == "cgroup2"]
    paths = [line.removeprefix("0::") for line in memberships.splitlines() if line.startswith("0::")]
    if not points or not paths or ".." in Path(paths[0]).parts:  # a group above what a container sees
        return None
    return Path(points[0], paths[0].lstrip("/"))


def _forget_abandoned(place: Path) -> None:
    """Remove groups whose command was killed; they are empty, as children end with their command."""
    for folder in place.glob(f"{_PREFIX}-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            with suppress(OSError):
                folder.rmdir()
