"""Makes the server that forks children, which imports it first, the one to whom orphans fall that a child has cut loose.

It waits for whatever ends below it, so that their CPU time is in its account; that it does not know them is no news. With it,
which is when the command has ended however that came about, all that is left below it ends.
"""

from __future__ import annotations

import atexit
import warnings
from contextlib import suppress

import psutil

from bench.lifetime import adopt_orphans, is_server


def _end_all() -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()


if is_server():
    adopt_orphans()
    warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
    atexit.register(_end_all)  # children that the server forks end without
