"""Looks after a child process from outside: what it uses, and its end when that is too much."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

TICK = 0.05  # seconds between two looks
FAMILY_TICKS = 10  # looks between two searches for descendants, which read all of /proc
PATIENCE = 3.0  # wall seconds for each second of CPU time that is allowed: a child that sleeps uses none


@dataclass(frozen=True)
class Verdict:
    """Why a child was killed."""

    kind: str  # "time" or "memory"
    reason: str


class Watch(threading.Thread):
    """Samples a child and its descendants, and kills them all when they are over a limit.

    Only what the operating system tells is believed, nothing that the child says.
    """

    def __init__(self, pid: int, *, memory_limit: int | None, cpu_clock: bool) -> None:
        super().__init__(name=f"watch-{pid}", daemon=True)
        self.verdict: Verdict | None = None
        self.peak_memory = 0
        self._child = psutil.Process(pid)
        self._family: dict[int, psutil.Process] = {}
        self._memory_limit, self._cpu_clock = memory_limit, cpu_clock
        self._deadline: tuple[float, float, float] | None = None  # limit, and its clock and wall time at the start
        self._over = threading.Event()
        self._searching = threading.Lock()

    def run(self) -> None:
        """Look, until the child is gone or `end` is called."""
        looks = 0
        while not self._over.wait(TICK):
            try:
                if looks % FAMILY_TICKS == 0:
                    self._find_family()
                self._judge()
            except psutil.Error:  # the child is gone: what it has left behind must not keep its pipes open
                return self._kill()
            looks += 1
        return None

    def limit(self, seconds: float | None) -> None:
        """Kill the child after so many seconds of the budget's clock from now; None: never."""
        with suppress(psutil.Error):
            self._deadline = None if seconds is None else (seconds, self._clock(), time.monotonic())

    def cpu_seconds(self) -> float:
        """CPU time of the child and its descendants, also of those that have ended.

        Raises:
            psutil.Error: the child is gone.
        """
        self._find_family()
        return self._cpu_seconds()

    def end(self) -> None:
        """Kill the child and whatever it has left behind."""
        self._over.set()
        self._kill()

    def _judge(self) -> None:
        used = self._memory()
        self.peak_memory = max(self.peak_memory, used)
        if self._memory_limit and used > self._memory_limit:
            self._condemn("memory", f"killed: it had {_gigabytes(used)} of memory, the limit is {_gigabytes(self._memory_limit)}")
        elif deadline := self._deadline:
            limit, clock, wall = deadline
            passed, waited = self._clock() - clock, time.monotonic() - wall
            if passed > limit:
                self._condemn("time", f"killed after {passed:.1f} s, the limit is {limit:.1f} s")
            elif self._cpu_clock and waited > PATIENCE * limit:
                self._condemn("time", f"killed after {waited:.0f} s with {passed:.1f} s of CPU time, the limit is {limit:.1f} s")

    def _memory(self) -> int:
        """Bytes resident; those that children share are counted once."""
        family = [process for process in list(self._family.values()) if process.is_running()]
        if not family:
            return int(self._child.memory_info().rss)
        return sum(_proportional(process) for process in (self._child, *family))

    def _condemn(self, kind: str, reason: str) -> None:
        self.verdict = self.verdict or Verdict(kind, reason)
        self._over.set()
        self._kill()

    def _kill(self) -> None:
        """Descendants are searched again while the child, to whom orphans fall, is stopped and can start no more."""
        with suppress(psutil.Error):
            self._child.send_signal(signal.SIGSTOP)
            self._find_family()
        for process in list(self._family.values()):
            with suppress(psutil.Error):
                process.kill()  # compares start times: a number that was given to another process is left alone
        with suppress(OSError):
            os.killpg(self._child.pid, signal.SIGKILL)
        with suppress(psutil.Error):
            self._child.kill()

    def _clock(self) -> float:
        return self._cpu_seconds() if self._cpu_clock else time.monotonic()

    def _cpu_seconds(self) -> float:
        return _cpu(self._child) + sum(_cpu_or_none(process) for process in list(self._family.values()))

    def _find_family(self) -> None:
        with self._searching:
            for process in self._child.children(recursive=True):
                self._family.setdefault(process.pid, process)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _cpu_or_none(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return _cpu(process)
    return 0.0


def status_bytes(pid: int, field: str) -> int | None:
    """A size from /proc/PID/status, `VmHWM` say, in bytes; None where the operating system does not tell."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) * 1024
    return None


def _proportional(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
