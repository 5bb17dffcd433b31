"""What a plugin prints, within bounds."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait

LARGEST = 4 * 2**20  # bytes of one child's output
_CHUNK = 2**16
_PATIENCE = 1.0  # seconds that somebody waits for a child that never stops printing, or a listener that is slow
_TICK = 0.002  # seconds

Printed = Callable[[bytes], None]


def unheard(text: bytes) -> None:
    """Where output goes that nobody asked for."""


class LogPump(threading.Thread):
    """Hands on what a child prints, and drops what is beyond the bound: a full pipe would stop the child."""

    def __init__(self, source: Connection) -> None:
        super().__init__(name="log", daemon=True)
        self._source, self._left = source, LARGEST
        self._printed: Printed = unheard
        self._handling = threading.Lock()
        self.start()

    def hand_to(self, printed: Printed) -> None:
        """Have output handed to `printed` from now on."""
        with self._handling:
            self._printed = printed

    def run(self) -> None:
        """Read until every process that holds the other end is gone."""
        with suppress(OSError), self._source:
            while wait([self._source]):
                with self._handling:
                    text = os.read(self._source.fileno(), _CHUNK)
                    if not text:
                        return
                    self._hand_on(text)

    def _hand_on(self, text: bytes) -> None:
        if self._left > 0:
            rest = b"\n(the rest is left out)\n" if len(text) > self._left else b""
            with suppress(Exception):  # whoever listens must not keep the child waiting
                self._printed(text[: self._left] + rest)
        self._left -= len(text)

    def drain(self) -> None:
        """Wait until what was printed so far has been handed on."""
        until = time.monotonic() + _PATIENCE
        while self.is_alive() and self._has_more() and time.monotonic() < until:
            time.sleep(_TICK)

    def _has_more(self) -> bool:
        """Whether something is in the pipe, or is just being handed on to somebody slow."""
        if not self._handling.acquire(blocking=False):
            return True
        try:
            return self._source.poll(0)
        except OSError:
            return False
        finally:
            self._handling.release()
