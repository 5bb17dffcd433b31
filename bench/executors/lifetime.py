"""Child processes end with the process that wanted them, however that ends."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from multiprocessing.process import parent_process

_F_SETSIG = 10


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
