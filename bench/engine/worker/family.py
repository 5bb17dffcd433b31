"""A child and all that it has started: what they use together, and their end.

A control group counts and ends them where one can be made. Whoever leaves it, or where there is none, is found by descent:
orphans fall to the child, and those that it has cut loose to the server that forks children (`reaper`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import ClassVar

import psutil

from bench.engine.worker.group import ControlGroup
from bench.engine.worker.memory import resident_bytes

PATIENCE = 2.0  # seconds: for those who are about to end, or were killed, to be gone, and for a child that is just starting
PAUSE = 0.02  # seconds between two looks
_SCHEDULER = 2  # in a clock's number: that it counts what the scheduler has given; see clock_getcpuclockid(3)
_SERVING = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
_KEPT = ("torch/_inductor/compile_worker", "torch_shm_manager", "joblib.externals.loky")


class Family:
    """A child with its descendants. One that is `watched` may run a plugin; while it is the only such, strays are its own."""

    _living: ClassVar[set[Family]] = set()
    beginning: ClassVar[threading.RLock] = threading.RLock()  # held from a child's start until its family is known: no stray

    def __init__(self, pid: int, *, watched: bool) -> None:
        self.child = psutil.Process(pid)
        self._watched = watched
        self._server = _server_of(self.child)
        self._group = ControlGroup.around(pid)
        self._known: dict[int, psutil.Process] = {}
        self._strays: dict[int, psutil.Process] = {}  # that are somebody else's, or nobody knows whose
        self._searching, self._reading = threading.Lock(), threading.Lock()
        self._ending = self._closed = False
        self._most = self._lost = self._cut_loose = self._reaped_before = 0.0
        self._always_alone = watched  # there never was another one that is watched
        for other in self._others_watched():
            other._always_alone = self._always_alone = False
        Family._living.add(self)
        if watched:
            self._end_those_left()
        self._settle_accounts()

    def look(self) -> None:
        """Find who belongs to it by now, and wake whom somebody has stopped.

        Raises:
            psutil.Error: the child is gone.
        """
        if not self._ending:
            for process in filter(None, (self.child, self._server)):
                if process.status() == psutil.STATUS_STOPPED:
                    _signal(process, signal.SIGCONT)
        with self._searching:
            self._search()

    def cpu_seconds(self) -> float:
        """CPU time of all, also of those that have ended; it never falls.

        Raises:
            psutil.Error: the child is gone.
        """
        self.look()
        return self.known_cpu_seconds()

    def known_cpu_seconds(self) -> float:
        """The same of those that were found before."""
        with self._reading:
            seconds = self._read() + self._lost
            if seconds < self._most:  # somebody was waited for between two looks
                seconds = self._read() + self._lost
            if seconds < self._most:  # or vanished with its time, as those do whose parents do not want to know of their end
                self._lost += self._most - seconds
            self._most = max(self._most, seconds)
            return self._most

    def memory(self) -> int:
        """Bytes that all have; those that they share are counted once.

        Raises:
            psutil.Error: the child is gone.
        """
        if self.bereaved:
            raise psutil.NoSuchProcess(self.child.pid)
        counted = self._group.memory() if self._group else None
        return counted if counted is not None else resident_bytes(process.pid for process in (self.child, *self.others()))

    @property
    def bereaved(self) -> bool:
        """Whether the child has ended."""
        with suppress(psutil.Error):
            return not self.child.is_running() or self.child.status() == psutil.STATUS_ZOMBIE
        return True

    def others(self) -> list[psutil.Process]:
        """Those beside the child that are still there."""
        return [process for process in list(self._known.values()) if process.is_running()]

    def still_there(self) -> list[str]:
        """Names of those beside the child that do not end, but for those that libraries keep.

        Raises:
            psutil.Error: the child is gone.
        """
        end = time.monotonic() + PATIENCE
        while names := self._names_of_others():
            if time.monotonic() > end:
                return names
            time.sleep(PAUSE)
        return []

    def end(self) -> None:
        """Kill all, searching again while the child is stopped and can start no more; wake whomever they have stopped."""
        if self._closed:
            return
        self._ending = True
        _signal(self.child, signal.SIGSTOP)
        with self._searching:
            self._search()
        if self._group:
            self._group.kill()
        for process in (*self.others(), *self._strays.copy().values()):
            _signal(process, signal.SIGKILL)
        if self.child.is_running():  # else its number may be somebody else's
            with suppress(OSError):
                os.killpg(self.child.pid, signal.SIGKILL)
        _signal(self.child, signal.SIGKILL)
        if self._watched:
            self._wake_everybody()

    def close(self) -> None:
        """The child has been waited for: forget the family, and see to it that nobody is left."""
        Family._living.discard(self)  # first, so that of several that close at a time the last finds what nobody owns
        self.end()
        self._closed = True
        psutil.wait_procs([*self.others(), *self._strays.values()], timeout=PATIENCE)
        for family in Family._living.copy():  # what has ended here is none of theirs
            family._settle_accounts()
        if self._group:
            self._group.close()

    def _read(self) -> float:
        """By the control group, or by descent if that is more: whoever leaves the group takes what they do from its account."""
        if self._group:
            with suppress(OSError, KeyError, ValueError):
                inside = self._group.members()
                outside = [process for process in (self.child, *list(self._known.values())) if process.pid not in inside]
                return max(self._group.cpu_seconds() + sum(map(_cpu_of_living, outside)), self._read_by_descent())
        return self._read_by_descent()

    def _read_by_descent(self) -> float:
        known = sum(map(_cpu_or_none, list(self._known.values())))
        return _cpu(self.child) + known + self._cpu_of_those_cut_loose()

    def _cpu_of_those_cut_loose(self) -> float:
        """Of those that have ended before anybody saw them: what the server has waited for, while nobody else's child ended."""
        if self._always_alone and not any(family.bereaved for family in Family._living.copy() if family is not self):
            self._cut_loose = max(self._cut_loose, self._reaped() - self._reaped_before)
        return self._cut_loose

    def _settle_accounts(self) -> None:
        """What the server has waited for up to now is none of this family's, but for what was counted."""
        self._reaped_before = self._reaped() - self._cut_loose

    def _names_of_others(self) -> list[str]:
        self.look()
        names = []
        for process in self.others():
            with suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and not _of_a_library(process):
                    names.append(f"process {process.name()} ({process.pid})")
        return names

    def _end_those_left(self) -> None:
        """Those that somebody left behind while others were watched."""
        with suppress(psutil.Error):
            self.look()
        left = [*self.others(), *self._strays.values()]
        for process in left:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(left, timeout=PATIENCE)
        self._known.clear()

    def _others_watched(self) -> list[Family]:
        return [family for family in Family._living.copy() if family._watched and family is not self]

    def _search(self) -> None:
        """Descendants; and if this is the only one that is watched, all below the server that are of no family."""
        alone = self._watched and not self._others_watched() and self.beginning.acquire(timeout=PATIENCE)
        try:
            inside = self._group.members() if self._group else set()
        except (OSError, ValueError):
            inside = set()
        try:
            heads = {family.child.pid for family in Family._living.copy()} | {self.child.pid}
            for process, head in _below(self._server or self.child, heads):
                ours = head == self.child.pid or process.pid in inside
                if ours or (alone and head not in heads):
                    kept = self._known if ours or self._always_alone else self._strays
                    if process.pid not in kept or not kept[process.pid].is_running():
                        kept[process.pid] = process
        finally:
            if alone:
                self.beginning.release()

    def _wake_everybody(self) -> None:
        """Also a child that is just starting, and of no family yet."""
        if self._server:
            _signal(self._server, signal.SIGCONT)
            with suppress(psutil.Error):
                for process in self._server.children():
                    if process.pid != self.child.pid:
                        _signal(process, signal.SIGCONT)

    def _reaped(self) -> float:
        """CPU time of all children of the server that have ended."""
        with suppress(psutil.Error):
            times = self._server.cpu_times() if self._server else None
            return float(times.children_user + times.children_system) if times else 0.0
        return 0.0


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that is still the one it was: its number may be another's by now."""
    if process.is_running():
        with suppress(psutil.Error):
            process.send_signal(number)


def _of_a_library(process: psutil.Process) -> bool:
    """Whether it only serves multiprocessing, or belongs to what a library keeps. A fork has the command line of its parent."""
    line, parent = process.cmdline(), process.parent()
    command = " ".join(line)
    forked = parent is not None and parent.cmdline() == line
    return any(name in command for name in _KEPT) or (not forked and any(name in command for name in _SERVING))


def _server_of(child: psutil.Process) -> psutil.Process | None:
    """Who forked a child, if that is this process's own server: with its death a child falls to somebody whom all share."""
    with suppress(psutil.Error):
        server = child.parent()
        if server and server.ppid() == os.getpid():
            return server
    return None


def _below(root: psutil.Process, heads: set[int]) -> Iterator[tuple[psutil.Process, int]]:
    """Everybody below a process but the heads of families, with the head that each is below, or that process."""
    above: dict[int, int] = {}
    found = []
    with suppress(psutil.Error):
        for process in root.children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                above[process.pid] = process.ppid()
                found.append(process)
    for process in found:
        if process.pid not in heads:
            head = above[process.pid]
            while head in above and head not in heads:
                head = above[head]
            yield process, head


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return _own_cpu(process) + float(times.children_user + times.children_system)


def _own_cpu(process: psutil.Process) -> float:
    """Seconds of a process without its children: by its clock, as the accounts that psutil reads count in hundredths."""
    if sys.platform == "linux":
        with suppress(OSError):  # it has ended
            return time.clock_gettime(~process.pid << 3 | _SCHEDULER)
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu_or_none(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return _cpu(process)
    return 0.0


def _cpu_of_living(process: psutil.Process) -> float:
    """Of one that has left the group; one that has ended in it is in the group's account."""
    with suppress(psutil.Error):
        return _own_cpu(process) if process.status() != psutil.STATUS_ZOMBIE else 0.0
    return 0.0
