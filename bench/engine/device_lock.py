"""Solo trials never overlap with other work of any `bench` on their device: one machine-wide lock per device."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from bench.errors import BenchError, WorkerError

_QUIET_TRIES, _PAUSE = 10, 0.05
_FOR_ALL = 0o644  # rights


class DeviceLock:
    """Chunks share the device, timed trials have it alone. Both queue at one door, so that none waits for ever.

    Locks belong to open files: they end with the process that holds them, however it ends. The files are one for all users, who
    need not be able to write to them.

    Raises:
        BenchError: from its blocks, where there can be no lock.
        WorkerError: from its blocks, if the command has `stopped` while they wait.
    """

    def __init__(
        self,
        device_kind: str,
        waiting: Callable[[str], None] = lambda text: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        name = re.sub(r"[^a-z0-9]+", "-", device_kind.lower())
        folder = Path(tempfile.gettempdir())
        self._door, self._room = folder / f"bench-{name}.door", folder / f"bench-{name}.room"
        self._waiting, self._stopped = waiting, stopped

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Work beside others."""
        with self._entered(fcntl.LOCK_SH):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work while nothing else does."""
        with self._entered(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _entered(self, how: int) -> Iterator[None]:
        with _opened(self._room) as room:
            with _opened(self._door) as door:
                self._lock(door, self._door, fcntl.LOCK_EX)
                self._lock(room, self._room, how)
            yield

    def _lock(self, descriptor: int, path: Path, how: int) -> None:
        try:
            self._flock(descriptor, how)
        except OSError as problem:
            raise _unusable(path, problem.strerror) from problem

    def _flock(self, descriptor: int, how: int) -> None:
        """Ask again and again: a thread that the system lets wait could not be told that its command has been stopped."""
        for tries in count():
            with suppress(BlockingIOError):
                return fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            if self._stopped():
                raise WorkerError("stopped while it waited for the device", kind="died")
            if tries == _QUIET_TRIES:  # this process's other threads are at the door for moments only
                self._waiting("waiting for another bench that uses this device")
            time.sleep(_PAUSE)
        return None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file that everybody may lock; it is made if need be, and nothing is ever written to it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe there would block for ever
    try:
        with suppress(FileExistsError):
            made = os.open(path, flags | os.O_CREAT | os.O_EXCL, _FOR_ALL)
            os.fchmod(made, _FOR_ALL)  # whatever the user's umask
            os.close(made)
        descriptor = os.open(path, flags)
    except OSError as problem:
        raise _unusable(path, problem.strerror) from problem
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unusable(path, "it is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _unusable(path: Path, reason: str | None) -> BenchError:
    remedy = "remove that, or name another folder, on a local disk, in the variable TMPDIR"
    return BenchError(f"the device cannot be locked: {path} ({reason}); {remedy}")
