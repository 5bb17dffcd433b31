"""Looks after a child process from outside: what it uses, and its end when that is too much."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from bench.engine.worker.family import Family

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

    def __init__(self, pid: int, *, memory_limit: int | None, cpu_clock: bool, hang_up: Callable[[], None]) -> None:
        super().__init__(name=f"watch-{pid}", daemon=True)
        self.verdict: Verdict | None = None
        self.peak_memory = 0
        self.family = Family(pid, watched=memory_limit is not None)
        self._memory_limit, self._cpu_clock, self._hang_up = memory_limit, cpu_clock, hang_up
        self._deadline: tuple[float, float, float] | None = None  # limit, and its clock and wall time at the start
        self._over = threading.Event()

    def run(self) -> None:
        """Look, until the child is gone or `end` is called."""
        looks = 0
        while not self._over.wait(TICK):
            try:
                if looks % FAMILY_TICKS == 0:
                    self.family.look()
                self._judge()
            except psutil.Error:  # the child is gone: who waits for its answer must not wait for what it has left behind
                self.family.end()
                return self._hang_up()
            looks += 1
        return None

    def limit(self, seconds: float | None) -> None:
        """Kill the child after so many seconds of the budget's clock from now; None: never."""
        with suppress(psutil.Error):
            self._deadline = None if seconds is None else (seconds, self._clock(), time.monotonic())

    def end(self) -> None:
        """Kill the child and whatever it has left behind."""
        self._over.set()
        self.family.end()

    def _judge(self) -> None:
        used = self.family.memory()
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

    def _condemn(self, kind: str, reason: str) -> None:
        self.verdict = self.verdict or Verdict(kind, reason)
        self.end()
        self._hang_up()

    def _clock(self) -> float:
        return self.family.known_cpu_seconds() if self._cpu_clock else time.monotonic()


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
