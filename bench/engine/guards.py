"""What a child does to itself before anything else, so that it can neither outlive its parent nor drown the machine."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import parent_process
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SECOND_LINE = 1.25  # RLIMIT_DATA above the limit that the parent watches, which gives the better reason


@dataclass(frozen=True)
class Guards:
    """How a child is guarded. `printing`: where its output goes; None: nowhere."""

    printing: Connection | None = None
    memory_limit: int | None = None  # bytes of private memory, on a CPU

    def put_up(self) -> None:
        """Guard this process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a child ends
        os.setsid()  # its own process group, which ends with it
        self._die_with_parent()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of its children fall to it, where the parent finds them
        self._redirect()

    def limit_memory(self) -> None:
        """Make allocations fail beyond the limit; of a process that uses CUDA, which reserves far more than it has, never."""
        if self.memory_limit is not None and sys.platform == "linux":
            most = int(_SECOND_LINE * self.memory_limit) + _data_bytes()
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))

    def _die_with_parent(self) -> None:
        """By the kernel if the parent is the fork server; a spawned child's parent is a thread, whose end means nothing."""
        parent = parent_process()
        if sys.platform == "linux" and parent is not None and os.getppid() != parent.pid:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        else:
            threading.Thread(target=_end_when_orphaned, args=(os.getppid(),), daemon=True).start()

    def _redirect(self) -> None:
        """Send what a plugin prints to the parent, also from C code."""
        target = self.printing.fileno() if self.printing else os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor in (1, 2):
            os.dup2(target, descriptor)


def _end_when_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _data_bytes() -> int:
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmData:")).split()[1]) * 1024
    return 0
