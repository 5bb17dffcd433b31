"""What lies below a folder, and which file is meant by a name that somebody wrote on another machine."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from bench.errors import BenchError, one_line

_PICTURE = re.compile(r".*\.(jpe?g?|jfif|png|webp|bmp|gif|tiff?|avif|hei[cf]|jp2|jxl)", re.IGNORECASE | re.DOTALL)  # read or not
_OF_MACOS = "__MACOSX"  # in zip files: a second, hidden file for each photo


class Entry(NamedTuple):
    """Something below a folder."""

    name: str  # path within the folder
    problem: str = ""  # why it is no file that can be read


class UnusableNameError(Exception):
    """Why no file is meant by a name."""


def entries(folder: Path) -> Iterator[Entry]:
    """All that lies below a folder but folders; links are followed, to each folder once."""
    waiting, visited = [(False, False, "")], set[tuple[int, int]]()
    while waiting:
        *_, place = heappop(waiting)  # what is linked or hidden last, so that files have the name that needs neither
        try:
            status = os.stat(folder / place)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            found = sorted(os.scandir(folder / place), key=lambda entry: entry.name)
        except OSError as problem:
            yield Entry(f"{place}/", f"the folder cannot be opened: {problem.strerror}")
            continue
        for entry in found:
            name = posixpath.join(place, entry.name)
            if os.path.isdir(entry.path):
                heappush(waiting, (is_hidden(name), entry.is_symlink(), name))
            elif os.path.isfile(entry.path):
                yield Entry(name)
            else:
                yield Entry(name, "a link that leads nowhere" if entry.is_symlink() else "not a file")


def files(folder: Path) -> list[str]:
    """Names of all files below a folder that are not hidden, in an order that is the same on every system."""
    return sorted((entry.name for entry in entries(folder) if not entry.problem and not is_hidden(entry.name)), key=composed)


def composed(text: str) -> str:
    """A text with each accent in its letter; macOS writes some names with accents of their own."""
    return unicodedata.normalize("NFC", text)


def is_hidden(name: str) -> bool:
    """Whether a file is meant for programs, not for people."""
    return any(part.startswith(".") or part == _OF_MACOS for part in name.split("/"))


def is_called_a_picture(name: str) -> bool:
    """Whether a file's name ends like that of a picture."""
    return bool(_PICTURE.fullmatch(name))


def look_for(folder: Path, dataset: str, *wanted: str) -> None:
    """Check that a folder has some entries; names with * are patterns.

    Raises:
        BenchError: saying what was looked for and what was found.
    """
    if not folder.is_dir():
        raise BenchError(f"there is no folder {folder}")
    missing = [name for name in wanted if next(folder.glob(name), None) is None]
    if missing:
        raise other_layout(folder, dataset, missing)


def other_layout(folder: Path, dataset: str, missing: Sequence[str]) -> BenchError:
    """What to say of a folder that lacks what a dataset has."""
    try:
        found = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    except OSError as problem:
        return BenchError(f"{folder} cannot be opened: {problem.strerror}")
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "") if found else "nothing"
    return BenchError(one_line(f"{folder} is not laid out as {dataset}: looked for {', '.join(missing[:3])}; found {shown}"))


class Names:
    """Finds the files that tables name, whoever wrote those and wherever; each folder is listed once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._roots = [os.path.abspath(folder), os.path.realpath(folder)]
        self._listed: dict[str, frozenset[str]] = {}
        self._alike: dict[str, Mapping[str, list[str]]] = {}

    def find(self, name: str, within: str = "") -> str:
        r"""The path within the folder of the file that is meant.

        As it is written if there is such a file; else with `\` for `/`, and without regard to case, blanks around it, and the
        two ways in which Unicode writes an accent. An absolute path may lead into the folder.

        Args:
            name: as somebody wrote it.
            within: the folder that it is relative to, itself within the folder.

        Raises:
            UnusableNameError: no file of the folder is meant, or one cannot say which.
        """
        if not name.strip():
            raise UnusableNameError("there is no file name")
        for text in dict.fromkeys((name, name.replace("\\", "/"))):
            found = self._entry_of(self._inside(text, within))
            if found:
                return found
        if PureWindowsPath(name).drive:
            raise UnusableNameError("the path leads out of the folder")
        raise UnusableNameError("the file is missing")

    def _inside(self, text: str, within: str) -> str:
        path = posixpath.normpath(posixpath.join(within, text))
        if path.startswith("/"):
            root = next((root for root in self._roots if path.startswith(f"{root}/")), path)
            path = posixpath.relpath(path, root) if root != path else ".."
        if path.split("/")[0] == "..":
            raise UnusableNameError("the path leads out of the folder")
        return path

    def _entry_of(self, path: str) -> str:
        """The path with each part as it is on disk; "" if there is none."""
        place = ""
        for part in path.split("/"):
            names = [part] if part in self._names(place) else self._likes(place).get(_key(part), [])
            if not names:
                return ""
            if len(names) > 1:
                raise UnusableNameError(f"it may mean {' or '.join(map(repr, names[:2]))}")
            place = posixpath.join(place, names[0])
        return place

    def _names(self, place: str) -> frozenset[str]:
        if place not in self._listed:
            try:
                self._listed[place] = frozenset(os.listdir(self._folder / place))
            except OSError:  # it is a file, or not to be opened: what is said to be in it is missing
                self._listed[place] = frozenset()
        return self._listed[place]

    def _likes(self, place: str) -> Mapping[str, list[str]]:
        if place not in self._alike:
            alike = defaultdict[str, list[str]](list)
            for name in sorted(self._names(place)):
                alike[_key(name)].append(name)
            self._alike[place] = alike
        return self._alike[place]


def _key(part: str) -> str:
    """What is common to the ways in which systems and people write a name."""
    return composed(composed(part.strip()).casefold())
