"""Makes the server that forks children, which imports it first, the one to whom orphans fall that a child has cut loose.

And one that can import torch beside packages that cannot be read.

It waits for whatever ends below it, so that their CPU time is in its account; that it does not know them is no news. With it,
which is when the command has ended however that came about, all that is left below it ends.
"""

from __future__ import annotations

import atexit
import signal
import warnings
from contextlib import suppress

import psutil

from bench.lifetime import adopt_orphans, is_server
from bench.registry.distributions import pass_over_unreadable


def _end_all() -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()


if is_server():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a child ends, and has kept interruptions from this one
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    pass_over_unreadable()
    adopt_orphans()
    warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
    atexit.register(_end_all)  # children that the server forks end without
