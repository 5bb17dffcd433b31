"""A child and all that it has started: what they use together, and their end.

A control group counts and ends them where one can be made. Whoever leaves it, or where there is none, is found by descent:
orphans fall to the child, and those that it has cut loose to the server that forks children (`reaper`).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

import psutil

from bench.engine.worker.group import ControlGroup
from bench.engine.worker.memory import resident_bytes

_PATIENCE = 2.0  # seconds: for those who are about to end, or were killed, to be gone, and for a child that is just starting
_PAUSE = 0.02  # seconds between two looks


class Family:
    """A child with its descendants. One that is `watched` may run a plugin; while it is the only such, strays are its own."""

    _living: ClassVar[set[Family]] = set()
    _beginning: ClassVar[threading.RLock] = threading.RLock()  # held from the start of a child until its family is known

    def __init__(self, pid: int, *, watched: bool) -> None:
        self.child = psutil.Process(pid)
        self._watched = watched
        self._server = _server_of(self.child)
        self._group = ControlGroup.around(pid)
        self._known: dict[int, psutil.Process] = {}
        self._searching = threading.Lock()
        self._reaped_before = self._reaped()
        self._always_alone = watched  # there never was another one that is watched
        for other in self._others_watched():
            other._always_alone = self._always_alone = False
        Family._living.add(self)
        if watched:
            self._end_strays()

    @classmethod
    @contextmanager
    def beginning(cls) -> Iterator[None]:
        """Start a child and make its family in such a block: until then it would pass for a stray."""
        with cls._beginning:
            yield

    def look(self) -> None:
        """Find who belongs to it by now, and wake whom somebody has stopped.

        Raises:
            psutil.Error: the child is gone.
        """
        for process in filter(None, (self.child, self._server)):
            if process.status() == psutil.STATUS_STOPPED:
                process.send_signal(signal.SIGCONT)
        with self._searching:
            self._search()

    def cpu_seconds(self) -> float:
        """CPU time of all, also of those that have ended.

        Raises:
            psutil.Error: the child is gone.
        """
        self.look()
        return self.known_cpu_seconds()

    def known_cpu_seconds(self) -> float:
        """The same of those that were found before."""
        cut_loose = self._reaped() - self._reaped_before if self._always_alone else 0.0
        if self._group:
            with suppress(OSError, KeyError, ValueError):
                inside = self._group.members()
                outside = [process for process in list(self._known.values()) if process.pid not in inside]
                return self._group.cpu_seconds() + sum(map(_cpu_of_living, outside)) + cut_loose
        return _cpu(self.child) + sum(map(_cpu_or_none, list(self._known.values()))) + cut_loose

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
        end = time.monotonic() + _PATIENCE
        while names := self._names_of_others():
            if time.monotonic() > end:
                return names
            time.sleep(_PAUSE)
        return []

    def end(self) -> None:
        """Kill all, searching again while the child is stopped and can start no more; wake whomever they have stopped."""
        with suppress(psutil.Error):
            self.child.send_signal(signal.SIGSTOP)
        with self._searching:
            self._search()
        if self._group:
            self._group.kill()
        for process in self.others():
            with suppress(psutil.Error):
                process.kill()  # compares start times: a number that was given to another process is left alone
        with suppress(OSError):
            os.killpg(self.child.pid, signal.SIGKILL)
        with suppress(psutil.Error):
            self.child.kill()
        if self._watched:
            self._wake_everybody()

    def close(self) -> None:
        """The child has been waited for: forget the family, and see to it that nobody is left."""
        Family._living.discard(self)  # first, so that of several that close at a time the last finds what nobody owns
        self.end()
        psutil.wait_procs(self.others(), timeout=_PATIENCE)  # until then their time would be the next one's
        if self._group:
            self._group.close()

    def _names_of_others(self) -> list[str]:
        self.look()
        names = []
        for process in self.others():
            with suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and not _of_a_library(process):
                    names.append(f"process {process.name()} ({process.pid})")
        return names

    def _end_strays(self) -> None:
        """Those that somebody left behind while others were watched."""
        with suppress(psutil.Error):
            self.look()
        for process in self.others():
            with suppress(psutil.Error):
                process.kill()

    def _others_watched(self) -> list[Family]:
        return [family for family in Family._living.copy() if family._watched and family is not self]

    def _search(self) -> None:
        """Descendants; and if this is the only one that is watched, all below the server that are of no family."""
        alone = self._watched and not self._others_watched() and self._beginning.acquire(timeout=_PATIENCE)
        try:
            inside = self._group.members() if self._group else set()
            heads = {family.child.pid for family in Family._living.copy()} | {self.child.pid}
            for process, head in _below(self._server or self.child, heads):
                if head == self.child.pid or (alone and head not in heads) or process.pid in inside:
                    self._known.setdefault(process.pid, process)
        finally:
            if alone:
                self._beginning.release()

    def _wake_everybody(self) -> None:
        children = (family.child for family in Family._living.copy() if family is not self)
        for process in filter(None, (self._server, *children)):
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)

    def _reaped(self) -> float:
        """CPU time of all children of the server that have ended."""
        with suppress(psutil.Error):
            times = self._server.cpu_times() if self._server else None
            return float(times.children_user + times.children_system) if times else 0.0
        return 0.0


def _of_a_library(process: psutil.Process) -> bool:
    """Whether it only serves multiprocessing, or the compiler of torch. A fork has the command line of its parent."""
    line, parent = process.cmdline(), process.parent()
    command = " ".join(line)
    serves = any(name in command for name in ("multiprocessing.resource_tracker", "multiprocessing.forkserver"))
    forked = parent is not None and parent.cmdline() == line
    return "torch/_inductor/compile_worker" in command or (serves and not forked)


def _server_of(child: psutil.Process) -> psutil.Process | None:
    """Who forked a child, if that is this process's own server: with its death a child falls to somebody whom all share."""
    with suppress(psutil.Error):
        server = child.parent()
        if server and server.ppid() == os.getpid():
            return server
    return None


def _below(root: psutil.Process, heads: set[int]) -> Iterator[tuple[psutil.Process, int]]:
    """Everybody below a process but the heads of families, with the head that each is below, or that process."""
    with suppress(psutil.Error):
        parents = {process: process.ppid() for process in root.children(recursive=True) if process.is_running()}
        above = {process.pid: parent for process, parent in parents.items()}
        for process, parent in parents.items():
            if process.pid not in heads:
                head = parent
                while head in above and head not in heads:
                    head = above[head]
                yield process, head


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _cpu_or_none(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return _cpu(process)
    return 0.0


def _cpu_of_living(process: psutil.Process) -> float:
    """Of one that has left the group; one that has ended in it is in the group's account."""
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system) if process.status() != psutil.STATUS_ZOMBIE else 0.0
    return 0.0
