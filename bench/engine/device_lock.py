"""Solo trials never overlap with other work of any `bench` on their device: one machine-wide lock per device."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_QUIET_TRIES, _PAUSE = 10, 0.05


class DeviceLock:
    """Chunks share the device, timed trials have it alone. Both queue at one door, so that none waits for ever.

    Locks belong to open files: they end with the process that holds them, however it ends.
    """

    def __init__(self, device_kind: str, waiting: Callable[[str], None] = lambda text: None) -> None:
        name = re.sub(r"[^a-z0-9]+", "-", device_kind.lower())
        self._folder = Path(tempfile.gettempdir()) / f"bench-{os.getuid()}"
        self._door, self._room = self._folder / f"{name}.door", self._folder / f"{name}.room"
        self._waiting = waiting

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
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with self._room.open("ab") as room:
            with self._door.open("ab") as door:
                self._lock(door.fileno(), fcntl.LOCK_EX)
                self._lock(room.fileno(), how)
            yield

    def _lock(self, descriptor: int, how: int) -> None:
        for _ in range(_QUIET_TRIES):  # this process's other threads are at the door for moments only
            with suppress(BlockingIOError):
                return fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            time.sleep(_PAUSE)
        self._waiting("waiting for another bench that uses this device")
        fcntl.flock(descriptor, how)
        return None
