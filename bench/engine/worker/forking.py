"""The server that forks children: it has imported torch once, for all of them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from typing import Any

from bench.lifetime import apart_from_caller

PRELOADED = (
    "bench.engine.worker.reaper",
    "bench.engine.worker.preloaded",
)  # of the server that forks children


class _Server(forkserver.ForkServer):
    """Forks children for this process only: whoever finds its socket could ask for a child that nobody guards."""

    def __init__(self) -> None:
        super().__init__()
        self.set_forkserver_preload(list(PRELOADED))
        self._beginning = threading.Lock()
        self._door: int | None = None

    def ensure_running(self) -> None:
        """Start it, unless it runs; its socket has no name any more, and this process holds it."""
        with self._beginning:
            super().ensure_running()
            server: Any = self
            address = server._forkserver_address
            if sys.platform == "linux" and not address.startswith("/proc/"):
                if self._door is not None:  # of one that has died
                    os.close(self._door)
                self._door = os.open(address, os.O_PATH | os.O_CLOEXEC)
                os.unlink(address)
                server._forkserver_address = f"/proc/self/fd/{self._door}"


_SERVER = _Server()


def prepare_children() -> None:
    """Have the server that forks children begin to import torch, which takes seconds, while the caller goes on."""
    with apart_from_caller(), suppress(OSError):  # whoever starts the first child is told why none can be
        _SERVER.ensure_running()


def start_child(serve: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that serves, forked by the server that has imported torch."""
    process: BaseProcess = multiprocessing.get_context("forkserver").Process(target=serve, args=arguments, daemon=True)
    with apart_from_caller(), _of_our_server():
        process.start()
    return process


@contextmanager
def _of_our_server() -> Iterator[None]:
    """Processes that are started in such a block are forked by a server that nobody else uses: what is below it is ours."""
    common = forkserver.connect_to_new_process
    forkserver.connect_to_new_process = _SERVER.connect_to_new_process
    try:
        yield
    finally:
        forkserver.connect_to_new_process = common
