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
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, by the same numbers on all processors
_WRITE_FILE, _READ_FILE = 1 << 1, 1 << 2  # rights to files
_REMOVE_FOLDER, _REMOVE_FILE, _REFER = 1 << 4, 1 << 5, 1 << 13  # rights in folders; the last is to move or link across them
_OF_FILES = _WRITE_FILE | _READ_FILE
_ALL = _OF_FILES | _REMOVE_FOLDER | _REMOVE_FILE | _REFER
_OLDEST = 2  # version of Landlock: the first, of Linux 5.13, forbids moving files from one folder to another altogether
_VERSION, _BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38


def can_close() -> bool:
    """Whether this system can close folders to a process."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION) >= _OLDEST)


def close(folders: Collection[str]) -> bool:
    """From now on this process and its children can read, change and remove no file in these folders; False: they still can.

    Nor can they look into processes that may, such as the one that started them.

    Args:
        folders: absolute paths; those that do not exist are passed over.
    """
    closed = {path.resolve() for path in map(Path, folders) if path.is_dir()}
    if not closed or not can_close():
        return False
    libc = ctypes.CDLL(None)
    wanted = struct.pack("=Q", _ALL)
    rules = libc.syscall(_CREATE, wanted, ctypes.c_size_t(len(wanted)), 0)
    if rules < 0:
        return False
    try:
        for path in _beside(Path("/"), closed):
            _permit(libc, rules, path)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT, rules, 0) == 0)
    except OSError:  # a folder above them cannot be listed: what lies beside them is not known
        return False
    finally:
        os.close(rules)


def _beside(place: Path, closed: Collection[Path]) -> Iterator[str]:
    """The largest trees below a place in which nothing is closed, and files beside them."""
    with os.scandir(place) as entries:
        for entry in entries:
            path = Path(entry.path)
            if path in closed or entry.is_symlink():  # where a link leads to has a place of its own
                continue
            if any(path in each.parents for each in closed):
                yield from _beside(path, closed)
            else:
                yield entry.path


def _permit(libc: ctypes.CDLL, rules: int, path: str) -> None:
    with suppress(OSError):  # it is gone again, or this process may not see it anyway
        opened = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            rights = _ALL if stat.S_ISDIR(os.fstat(opened).st_mode) else _OF_FILES
            libc.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, opened), 0)
        finally:
            os.close(opened)
