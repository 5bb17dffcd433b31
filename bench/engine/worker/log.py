"""A run's log: what its plugin prints, within bounds."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

LARGEST = 4 * 2**20  # bytes of a run's log
_CHUNK = 2**16


class LogPump(threading.Thread):
    """Carries what a child prints into a log file, and drops what is beyond the bound: a full pipe would stop the child."""

    def __init__(self, source: Connection, path: Path) -> None:
        super().__init__(name=f"log-{path.parent.name}", daemon=True)
        self._source, self._path = source, path
        self.start()

    def run(self) -> None:
        """Read until every process that holds the other end is gone."""
        with suppress(OSError), self._source:
            while text := os.read(self._source.fileno(), _CHUNK):
                write_log(self._path, text)


def write_log(path: Path, text: bytes) -> None:
    """Append to a log, up to its bound; a log that cannot be written is no reason to lose a trial."""
    with suppress(OSError), open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644), "ab") as log:
        size = log.tell()
        if size < LARGEST:
            log.write(text if size + len(text) < LARGEST else text[: LARGEST - size] + b"\n(the rest is left out)\n")
