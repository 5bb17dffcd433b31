"""Folders that a process, and whatever it starts, has no access to any more: by Linux's Landlock, which needs no privilege.

Landlock knows permissions only. So all that lies beside such a folder is permitted, and all beside each folder above it, with
what will be made below those. What is made later right in a folder above it can be neither read nor written.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

OPEN_REMEDY = "use Linux 5.19 or later, with Landlock; until then read strangers' sources before you trust their numbers"
REFUSED = "methods have no access to stores, prepared data, and new files right in a folder above them"
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, by the same numbers on all processors
_WRITE_FILE, _READ_FILE = 1 << 1, 1 << 2  # rights to files
_OF_FILES = _WRITE_FILE | _READ_FILE
_REMOVE, _REFER = 0b11 << 4, 1 << 13  # rights in folders; the last is to move or link across them
_ALL = _OF_FILES | _REMOVE | _REFER
_OLDEST = 2  # version of Landlock: the first, of Linux 5.13, forbids moving files from one folder to another altogether
_VERSION, _BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_MOST_FILES = 1000  # of a folder above: each costs a rule, and every process as many microseconds


def can_close() -> bool:
    """Whether this system can close folders to a process."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION) >= _OLDEST)


def close(folders: Collection[str]) -> bool:
    """From now on this process and its children can read, change and remove no file in these folders.

    Nor can they look into processes that may, such as the one that started them. Where a folder above cannot be listed, or has
    more than a thousand files, what lies right in it is closed, too, but for what Python is imported from and the working folder.

    Args:
        folders: absolute paths; those that do not exist are passed over. Links right in them are followed.

    Returns:
        Whether it is so: False where the system does not do that.

    Raises:
        OSError: it does, and has refused this time.
    """
    closed = {path.resolve() for folder in map(Path, folders) if folder.is_dir() for path in (folder, *_links(folder))}
    if not closed or not can_close():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = struct.pack("=Q", _ALL)
    rules = _done(libc.syscall(_CREATE, wanted, ctypes.c_size_t(len(wanted)), 0))
    try:
        for root in ("/", sys.base_prefix, *sys.path, os.getcwd()):
            for path in _permitted(Path(root).resolve(), closed):
                _permit(libc, rules, path)
        _done(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _done(libc.syscall(_RESTRICT, rules, 0))
    finally:
        os.close(rules)
    return True


def _done(answer: int) -> int:
    """What a system call has answered, unless it has failed."""
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"folders cannot be closed to a method: {os.strerror(ctypes.get_errno())}")
    return answer


def _links(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if entry.is_symlink() and entry.is_dir())


def _permitted(place: Path, closed: Collection[Path]) -> Iterator[Path]:
    """The largest trees of a place in which nothing is closed, and files beside them."""
    if any(place == each or each in place.parents for each in closed):
        return
    below = {each for each in closed if place in each.parents}
    if not below:
        yield place
        return
    for path in _beside(place) or {place / each.relative_to(place).parts[0] for each in below}:
        yield from _permitted(path, below)


def _beside(place: Path) -> list[Path]:
    """What lies right in a folder; nothing if it cannot be listed. Where a link leads to has a place of its own."""
    found, files = [], 0
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            files += entry.is_file(follow_symlinks=False)
            if not entry.is_symlink() and (files <= _MOST_FILES or entry.is_dir()):
                found.append(Path(entry.path))
    return found


def _permit(libc: ctypes.CDLL, rules: int, path: Path) -> None:
    with suppress(OSError):  # it is gone again, or this process may not see it anyway
        opened = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            rights = _ALL if stat.S_ISDIR(os.fstat(opened).st_mode) else _OF_FILES
            libc.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, opened), 0)
        finally:
            os.close(opened)
