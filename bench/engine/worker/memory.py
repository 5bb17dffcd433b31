"""How much memory processes have, as the operating system tells, and what becomes of that which they free."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

_BLOCK = 512  # bytes that `st_blocks` counts in
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # see mallopt(3)


def keep_what_is_freed() -> None:
    """Have this process use memory again that it has freed, instead of giving it back to the system and asking for more.

    Tensors come and go with every batch: asking anew takes a fifth of SCRUB's CPU time, and twice as much at one time as at
    another. Blocks of more than 32 MB are given back, as they would be.
    """
    with suppress(AttributeError, OSError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 2**25)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def status_bytes(pid: int, field: str) -> int | None:
    """A size from /proc/PID/status, `VmHWM` say, in bytes; None where the operating system does not tell."""
    return _sizes(Path(f"/proc/{pid}/status")).get(field)


def resident_bytes(pids: Iterable[int]) -> int:
    """Bytes that processes have resident, and files in memory that they hold open; what they share is counted once.

    Files in memory count whether anybody maps them or not; of those that are both, the larger sum.
    """
    if not Path("/proc/self/status").exists():  # not Linux
        return sum(_rss(pid) for pid in pids)
    own = shared = 0
    files: dict[tuple[int, int], int] = {}
    alone = len(pids := list(pids)) == 1
    for pid in pids:
        here, there = _resident(pid, alone=alone)
        own, shared = own + here, shared + there
        files |= _files_in_memory(pid)
    return own + max(shared, sum(files.values()))


def _rss(pid: int) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _resident(pid: int, *, alone: bool) -> tuple[int, int]:
    """Resident bytes of a process without files in memory, and of those. Its even share of them takes longer to learn."""
    if alone:
        sizes = _sizes(Path(f"/proc/{pid}/status"))
        return sizes.get("RssAnon", 0) + sizes.get("RssFile", 0), sizes.get("RssShmem", 0)
    sizes = _sizes(Path(f"/proc/{pid}/smaps_rollup"))
    return sizes.get("Pss_Anon", 0) + sizes.get("Pss_File", 0), sizes.get("Pss_Shmem", 0)


def _files_in_memory(pid: int) -> dict[tuple[int, int], int]:
    """Bytes by device and inode of the open files of a process that lie in memory: without a name, or on a tmpfs."""
    found = {}
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                what = os.stat(entry.path)
                if what.st_dev in _devices_in_memory() or os.readlink(entry.path).startswith("/memfd:"):
                    found[what.st_dev, what.st_ino] = what.st_blocks * _BLOCK
    return found


@cache
def _devices_in_memory() -> frozenset[int]:
    """Of file systems that keep what is written to them in memory, from /proc/self/mountinfo."""
    with suppress(OSError, ValueError):
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = [(line.split()[2], line.partition(" - ")[2].split()[0]) for line in lines]
        numbers = [device.split(":") for device, kind in pairs if kind in ("tmpfs", "ramfs")]
        return frozenset(os.makedev(int(major), int(minor)) for major, minor in numbers)
    return frozenset()


def _sizes(path: Path) -> dict[str, int]:
    """The lines of a file in /proc that end in kB, in bytes; none if the process is gone."""
    with suppress(OSError):
        lines = map(str.split, path.read_text(encoding="ascii", errors="replace").splitlines())
        return {fields[0].removesuffix(":"): int(fields[1]) * 1024 for fields in lines if len(fields) == 3 and fields[2] == "kB"}
    return {}
