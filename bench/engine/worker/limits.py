"""What control groups, those of a container say, leave of the machine: cores and memory, by either version of their files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = 2**60  # bytes: version 1 writes a number that no machine has


@dataclass(frozen=True)
class Limits:
    """None: no group limits it."""

    cores: float | None = None
    memory: int | None = None  # bytes until the limit

    @classmethod
    def here(cls) -> Limits:
        """Of this process, now."""
        return cls.read(text_of("/proc/self/mounts"), text_of("/proc/self/cgroup"))

    @classmethod
    def read(cls, mounts: str, memberships: str) -> Limits:
        """From what is in /proc/self/mounts and /proc/self/cgroup, and the files that these lead to."""
        cpu, memory = (list(_groups(mounts, memberships, controller)) for controller in ("cpu", "memory"))
        return cls(
            cores=min((cores for folder in cpu if (cores := _cores(folder)) is not None), default=None),
            memory=min((left for folder in memory if (left := _memory_left(folder)) is not None), default=None),
        )


def text_of(path: str | Path) -> str:
    """A small file of the system; "" where there is none."""
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""


def numbers_of(path: Path) -> dict[str, int]:
    """A file of lines `NAME NUMBER`.

    Raises:
        OSError, ValueError: it is not there, or is another.
    """
    lines = path.read_text(encoding="ascii").splitlines()
    return {name: int(number) for name, number in map(str.split, lines)}


def _groups(mounts: str, memberships: str, controller: str) -> Iterator[Path]:
    """Folders of the groups that a process is in, each within the next, as far as they can be seen from here."""
    points = [fields for fields in map(str.split, mounts.splitlines()) if len(fields) > 3]
    for line in memberships.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            found = [fields[1] for fields in points if fields[2] == "cgroup2"]
        elif controller in controllers.split(","):
            found = [fields[1] for fields in points if fields[2] == "cgroup" and controller in fields[3].split(",")]
        else:
            continue
        for point in map(Path, found):
            inner = path.strip("/")
            group = point if ".." in Path(inner).parts else point / inner  # of a group above what a container sees
            yield from (folder for folder in (group, *group.parents) if folder == point or point in folder.parents)


def _cores(group: Path) -> float | None:
    """How many cores' time a group may use."""
    quota, period = (*text_of(group / "cpu.max").split(), "", "")[:2]
    if not quota:
        quota, period = (text_of(group / f"cpu.cfs_{what}_us").strip() for what in ("quota", "period"))
    with suppress(ValueError, ZeroDivisionError):  # "max", or nothing
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _memory_left(group: Path) -> int | None:
    """Bytes that a group may have beyond what it has; files that it has read and not used again make way."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.high", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(ValueError):  # "max", or nothing
            most = int(text_of(group / limit))
            if most < _UNLIMITED:
                return max(most - int(text_of(group / used)) + _cached(group, cached), 0)
    return None


def _cached(group: Path, name: str) -> int:
    with suppress(OSError, ValueError):
        return numbers_of(group / "memory.stat").get(name, 0)
    return 0
