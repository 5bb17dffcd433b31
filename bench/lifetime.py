"""Child processes: they end with the process that wanted them, however that ends, and never run its `__main__`."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import parent_process

_F_SETSIG = 10
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


@contextmanager
def without_main() -> Iterator[None]:
    """Start children in such a block: they do not import the caller's `__main__`, and nothing that they need lives there.

    multiprocessing looks at `__file__` and `__spec__` to find it: without them scripts need no guard, and notebooks and
    `python - <<EOF`, whose file does not exist, can start children at all.
    """
    with _hiding:
        main = vars(sys.modules["__main__"])
        hidden = {name: main.pop(name, None) for name in ("__file__", "__spec__")}
        main["__spec__"] = None
        try:
            yield
        finally:
            main.update({name: value for name, value in hidden.items() if name == "__spec__" or value is not None})
