"""Child processes: they end with the process that wanted them, however that ends, and never run what is not theirs."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import current_process, parent_process
from typing import Any

_F_SETSIG = 10
_PR_SET_CHILD_SUBREAPER = 36
_SAFE_PATH, _SERVER, _OURS = "PYTHONSAFEPATH", "BENCH_SERVER", "bench"  # of the first, Python asks only whether it is set
_BACKENDS = "TORCH_DEVICE_BACKEND_AUTOLOAD"  # whatever but "1": torch runs no entry points of packages for further devices
_SET = (_SAFE_PATH, _SERVER, _BACKENDS)
_LONGEST_FOLDER = 50  # bytes of a folder in which sockets are named: multiprocessing adds 50 more, the system takes 107
_hiding = threading.Lock()


def die_with_parent() -> None:
    """The kernel kills this process when the other end of the pipe to its parent is closed, however that comes about.

    The parent of a fork is the fork server, which lives as long as its children do, so PR_SET_PDEATHSIG would not help.
    """
    parent = parent_process()
    if parent is not None and sys.platform == "linux":
        pipe = parent.sentinel
        fcntl.fcntl(pipe, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([pipe], [], [], 0)[0]:
            os._exit(1)  # the parent went before the kernel was told


def adopt_orphans(adopt: bool = True) -> bool:
    """From now on, processes below this one whose parents have ended fall to it, or no longer; whether the system does so."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt)) == 0)


@contextmanager
def apart_from_caller() -> Iterator[None]:
    """Start children, or the server that forks them, in such a block: nothing that they need lives where the caller does.

    They do not import its `__main__`, which multiprocessing finds by `__file__` and `__spec__`: without these scripts need no
    guard, and notebooks and `python - <<EOF`, whose file does not exist, can start children at all. Nor do they import a
    `torch.py` or a folder `bench` from where the caller works, as `python -c` would. The server's socket has a short name.
    """
    with _hiding, _own_environment(), _short_names(), undisturbed():
        main = vars(sys.modules["__main__"])
        hidden = {name: main.pop(name, None) for name in ("__file__", "__spec__")}
        main["__spec__"] = None
        try:
            yield
        finally:
            main.update({name: value for name, value in hidden.items() if name == "__spec__" or value is not None})


@contextmanager
def undisturbed() -> Iterator[None]:
    """An interruption waits for the end of the block, which starts processes; they never get one, from the first moment on.

    A terminal sends it to all of them: in the middle of an import each would print a traceback, and one that is interrupted while
    it is told what to do would not understand that.
    """
    resource_tracker.ensure_running()  # on Python 3.11 it lets interruptions through again
    noted: list[int] = []
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if handler:
        signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if handler:
            signal.signal(signal.SIGINT, handler)
        if noted:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _own_environment() -> Iterator[None]:
    for name in _SET:
        os.environ.setdefault(name, _OURS)
    try:
        yield
    finally:
        restore_environment()


@contextmanager
def _short_names() -> Iterator[None]:
    users, tempfile.tempdir = tempfile.tempdir, short_folder()
    config: dict[str, Any] = vars(current_process())["_config"]  # multiprocessing remembers the folder that it has made
    remembered = config.get("tempdir") or ""
    if len(os.fsencode(remembered)) > _LONGEST_FOLDER + len("/pymp-01234567"):
        del config["tempdir"]
    try:
        yield
    finally:
        tempfile.tempdir = users
        if remembered:
            config["tempdir"] = remembered


def short_folder() -> str:
    """The folder for temporary files; where sockets in it would have too long a name, the system's own.

    Raises:
        OSError: nobody may write to any such folder.
    """
    folder = tempfile.gettempdir()
    usable = (short for short in ("/tmp", "/var/tmp") if os.access(short, os.W_OK | os.X_OK))  # noqa: S108
    return folder if len(os.fsencode(folder)) <= _LONGEST_FOLDER else next(usable, folder)


def without_backends() -> None:
    """In a process of ours: torch, when it is imported, does not import packages for devices that nobody computes on here."""
    os.environ.setdefault(_BACKENDS, _OURS)


def restore_environment() -> None:
    """In a child: what it starts itself finds modules where the user's Python does."""
    for name in _SET:
        if os.environ.get(name) == _OURS:
            del os.environ[name]


def is_server() -> bool:
    """Whether this process is the server that forks children."""
    return os.environ.get(_SERVER) == _OURS
