"""Who else uses the machine: what processes of others take of its cores while something is timed."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import psutil

from bench.metrics.timing import BUSY


class Neighbours:
    """What everybody else has used since this was made: not this process, nor any that it has started."""

    def __init__(self) -> None:
        self._start, self._used = time.monotonic(), _used_by_others()

    def share(self) -> float:
        """Share of the time of all cores, 0 to 1; also what the machine's owner gave to other machines."""
        passed = (time.monotonic() - self._start) * (os.cpu_count() or 1)
        return min(max((_used_by_others() - self._used) / passed, 0.0), 1.0) if passed > 0 else 0.0

    def warning(self) -> str:
        """That the machine is busy, in words; "" if it is not."""
        share = self.share()
        return f"other processes take {100 * share:.0f} % of the processor" if share > BUSY else ""


def _used_by_others() -> float:
    """Seconds of CPU time since some moment."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    counted_twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # within user and nice
    return float(sum(times) - idle - counted_twice) - _used_by_us()


def _used_by_us() -> float:
    """Of this process and all below it: of each what it has used and what those have that it has waited for."""
    here = psutil.Process()
    total = 0.0
    for process in (here, *here.children(recursive=True)):
        with suppress(psutil.Error):  # it has just ended, and its time is its parent's
            total += sum(process.cpu_times()[:4])
    return total
