"""What is installed, by its metadata. Those of a stranger's package may be damaged: it is passed over, and said why."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.errors import one_line

_AS_INSTALLED: Any = Distribution.entry_points


@dataclass(frozen=True)
class Entry:
    """An entry point with the package that has it."""

    name: str
    module: str
    distribution: str
    version: str


@dataclass(frozen=True)
class Unreadable:
    """A distribution of which nothing, or not all, can be used."""

    distribution: str
    reason: str


Found = tuple[Mapping[str, tuple[Entry, ...]], tuple[Unreadable, ...]]  # entry points by group, and what had to be passed over


@dataclass(frozen=True)
class _Stamped:
    """A distribution, and what changes with its metadata."""

    distribution: Distribution = field(compare=False)
    stamp: tuple[object, ...]


def entries(groups: Sequence[str]) -> Found:
    """Entry points of some groups, each once; what is found is handed to several callers, so none of them can change it."""
    return _read(tuple(groups), tuple(_Stamped(each, _stamp(each)) for each in _first_of_each_name()))


def _stamp(distribution: Distribution) -> tuple[object, ...]:
    path = getattr(distribution, "_path", None)
    if not isinstance(path, Path):
        return (id(distribution),)  # which is kept, with what was read of it
    stamp: list[object] = [path]
    for name in ("entry_points.txt", "METADATA", "PKG-INFO"):
        try:
            about = os.stat(f"{path}{os.sep}{name}")
            stamp += [about.st_mtime_ns, about.st_size, about.st_ino]
        except OSError:
            stamp.append(None)
    return tuple(stamp)


@lru_cache(maxsize=16)  # to read them takes 12 ms, which every process of a run would wait for; to look at their times takes 3
def _read(groups: Sequence[str], installed: Sequence[_Stamped]) -> Found:
    found: dict[str, dict[Entry, None]] = {group: {} for group in groups}
    unreadable = []
    for distribution in (each.distribution for each in installed):
        try:
            ours = [point for point in _AS_INSTALLED.fget(distribution) if point.group in found]
            of_one = [(point.group, _entry(point, *_name_and_version(distribution))) for point in ours]
        except Exception as problem:  # of Python's own reader, of whatever kind
            unreadable.append(Unreadable(_folder_name(distribution), _reason(problem)))
            continue
        for group, entry in of_one:
            found[group][entry] = None
    return MappingProxyType({group: tuple(each) for group, each in found.items()}), tuple(unreadable)


def pass_over_unreadable() -> None:
    """In this process, also torch and triton, which look for extensions when they are imported, find none in such a package."""
    Distribution.entry_points = property(_readable)  # type: ignore[method-assign,assignment]


class _UnusableError(Exception):
    """The message says why."""


def _readable(distribution: Distribution) -> EntryPoints:
    try:
        points: EntryPoints = _AS_INSTALLED.fget(distribution)
    except Exception:  # of Python's own reader, of whatever kind
        return EntryPoints(())
    return points


def _first_of_each_name() -> Iterator[Distribution]:
    """As Python imports: of two in the path, the first. Names come from folders: to read all metadata takes seconds."""
    seen = set[str]()
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", _folder_name(distribution).partition("-")[0]).lower()
        if name not in seen:
            seen.add(name)
            yield distribution


def _folder_name(distribution: Distribution) -> str:
    path = getattr(distribution, "_path", None)  # of all that Python's own finder finds
    return one_line(Path(str(path)).name.removesuffix(".dist-info").removesuffix(".egg-info")) if path else _name(distribution)


def _name(distribution: Distribution) -> str:
    try:
        return one_line(distribution.name or "") or "unnamed"
    except Exception:  # of another finder's reader
        return "unnamed"


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    try:
        name, version = distribution.name, distribution.version
    except UnicodeError:
        raise _UnusableError("METADATA is not UTF-8") from None
    except Exception:  # where METADATA is missing or empty, depending on Python's version
        raise _UnusableError("METADATA is missing, or not as packages have it") from None
    for what, text in (("name", name), ("version", version)):
        if not isinstance(text, str) or not text or text != one_line(text):
            raise _UnusableError(f"METADATA is missing, or its {what} cannot be shown")
    return name, version


def _entry(point: EntryPoint, distribution: str, version: str) -> Entry:
    if point.name != one_line(point.name):
        raise _UnusableError(f"the name of an entry point of {point.group} cannot be shown")
    if not point.pattern.match(point.value):
        raise _UnusableError(f"{point.name} of {point.group} names no module: {point.value!r}")
    return Entry(point.name, point.module, distribution, version)


def _reason(problem: Exception) -> str:
    if isinstance(problem, _UnusableError):
        return one_line(str(problem))
    how = "is not UTF-8" if isinstance(problem, UnicodeError) else "is not as packages have it"
    return f"entry_points.txt {how}"
