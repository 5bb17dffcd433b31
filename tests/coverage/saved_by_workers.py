"""Has child processes keep before every answer which lines they have reached: most are killed, and could not do so later.

A plugin of coverage.py, named in `setup.cfg` and on the path in `tox run -e tests` only.
"""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection

from coverage import Coverage

send_bytes = Connection.send_bytes


def save_and_send(connection: Connection, *arguments: object) -> None:
    """In the place of `Connection.send_bytes`."""
    coverage = Coverage.current()
    # Our workers answer from their main thread. Two threads that save at once end in a segmentation fault of SQLite.
    if coverage and threading.current_thread() is threading.main_thread():
        coverage.save()
    send_bytes(connection, *arguments)


def coverage_init(registry: object, options: object) -> None:
    """coverage.py calls this in every process that it measures."""
    Connection.send_bytes = save_and_send
