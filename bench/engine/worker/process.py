"""Child processes: how they are started, asked and ended.

Children are forks of a server that has imported torch. CUDA does not survive a fork, so the server never uses it; a child
may. A child answers with JSON and safetensors only, never with pickles: it may have run a plugin.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import psutil
from safetensors import SafetensorError
from safetensors.numpy import load

from bench.engine.worker.answers import Header
from bench.engine.worker.family import Family
from bench.engine.worker.forking import start_child
from bench.engine.worker.guards import Guards
from bench.engine.worker.log import LogPump, Printed
from bench.engine.worker.memory import status_bytes
from bench.engine.worker.watch import Watch
from bench.errors import WorkerError, advice, one_line
from bench.lifetime import short_folder
from bench.models.devices import is_cpu
from bench.outputs import Arrays
from bench.store.fields import R

OnProgress = Callable[[float], None]
_LARGEST_HEADER = 16 * 2**20
_TICK = 0.5  # seconds between two looks at a child that tells nothing
_ALMOST = 0.95  # the most that an estimate of progress may claim
_MALFORMED = (EOFError, OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, SafetensorError)
_GRACE = 2.0  # seconds that a child which hung up has to end
_CLOSING = 60.0  # seconds that a killed child has to be gone
_NEWS = 60.0  # seconds that the server has to tell how a child ended, on however busy a machine


def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="bench-", dir=short_folder(), ignore_cleanup_errors=True)


@dataclass(frozen=True)
class Reply:
    """What a child answered."""

    values: bytes  # JSON
    arrays: Arrays

    def read(self, kind: type[R]) -> R:
        """Its values as what they should be.

        Raises:
            WorkerError: they are something else; the message names the field.
        """
        try:
            return msgspec.json.decode(self.values, type=kind)
        except (ValueError, RecursionError) as problem:
            raise WorkerError(one_line(f"the process answered nonsense: {problem}")) from problem


def _why(problem: Exception) -> str:
    """Why no child can be started, and what to do."""
    if isinstance(problem, EOFError):
        return "the process that forks them died, of lack of memory perhaps; what it printed last says more"
    reason, remedy = one_line(f"{type(problem).__name__}: {problem}"), advice(problem)
    return f"{reason}; {remedy}" if remedy else reason


class Worker:
    """A child process that serves requests one at a time.

    One that may run a plugin is given a memory limit, and is watched; it works in a folder of its own, which ends with it, and
    has no access to those that are `closed`. What a child prints goes nowhere, unless it is `heard`.
    """

    _living: ClassVar[set[Worker]] = set()

    def __init__(
        self,
        serve: Callable[..., None],
        *arguments: object,
        device_kind: str = "cpu",
        heard: bool = False,
        memory_limit: int | None = None,
        closed: Sequence[str] = (),
    ) -> None:
        ours, theirs = multiprocessing.Pipe()
        printed, prints = multiprocessing.Pipe(duplex=False) if heard else (None, None)
        self._connection, self._on_cpu = ours, is_cpu(device_kind)
        self._line = socket.socket(fileno=os.dup(ours.fileno()))  # the same pipe, which is a pair of sockets
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        try:
            self._folder = _own_folder() if memory_limit else None
            own = self._folder.name if self._folder else ""
            guards = Guards(printing=prints, memory_limit=memory_limit, folder=own, closed=tuple(closed))
            with Family.beginning:
                self._process = start_child(serve, theirs, guards, *arguments)
                self._watch = Watch(self._pid, memory_limit=memory_limit, cpu_clock=self._on_cpu, hang_up=self._hang_up)
        except (OSError, EOFError, psutil.Error) as problem:
            with suppress(AttributeError, ValueError, OSError):
                self._process.kill()
            self._line.close()
            if self._folder:
                self._folder.cleanup()
            raise WorkerError(f"no worker process can be started: {_why(problem)}", kind="died") from problem
        theirs.close()
        if prints:
            prints.close()
        self._pump = LogPump(printed) if printed else None
        if memory_limit:
            self._watch.start()
        Worker._living.add(self)

    @classmethod
    def end_all(cls) -> None:
        """Kill every child of this process and what they have started, whoever waits for them."""
        for worker in cls._living.copy():
            worker._watch.end()

    def ask(
        self,
        operation: str,
        *,
        on_progress: OnProgress = lambda share: None,
        expected: float = 0.0,
        limit: float | None = None,
        largest: int | None = None,
        **arguments: object,
    ) -> Reply:
        """Have the child do something and wait for the answer.

        Progress is what the child tells; of a child that tells nothing, the share of the `expected` seconds that has passed.
        A watched child is killed after `limit` seconds on the budget's clock; more than `largest` bytes of arrays are not taken.

        Raises:
            WorkerError: it failed, died or was killed.
        """
        self._watch.limit(limit)
        try:
            self._connection.send((operation, arguments))
            header = self._header(on_progress, expected)
            if header.error is not None:
                kind = "memory" if header.kind == "memory" else "error"
                raise WorkerError(one_line(header.error), header.traceback, kind)
            return Reply(bytes(header.values), load(self._connection.recv_bytes(largest)) if header.arrays else {})
        except _MALFORMED as problem:
            raise self._exit_reason() from problem
        finally:
            self._watch.limit(None)

    def _header(self, on_progress: OnProgress, expected: float) -> Header:
        start = time.monotonic()
        while True:
            while not self._connection.poll(_TICK):
                if not self._process.is_alive() and not self._connection.poll():
                    raise EOFError  # a descendant may hold the other end of the pipe
                if expected:
                    on_progress(min((time.monotonic() - start) / expected, _ALMOST))
            header = msgspec.json.decode(self._connection.recv_bytes(_LARGEST_HEADER), type=Header)
            if header.progress is None:
                return header
            on_progress(min(max(header.progress, 0.0), 1.0))

    @property
    def on_cpu(self) -> bool:
        """Whether its clock is one of CPU time."""
        return self._on_cpu

    def clock(self) -> float:
        """Seconds on the clock that budgets are measured by: the child's CPU time, with that of its children, or wall time.

        Of children that have ended, CPU time is known in hundredths of a second. On a CUDA device it is the caller's part to ask
        for something that waits for the device.

        Raises:
            WorkerError: the child is gone.
        """
        try:
            return self._watch.family.cpu_seconds() if self._on_cpu else time.monotonic()
        except psutil.Error as problem:
            raise self._exit_reason() from problem

    def peak_memory(self) -> int:
        """Most bytes that the child and its descendants have had resident at any look, or the child alone at any time."""
        return max(self._watch.peak_memory, status_bytes(self._pid, "VmHWM") or 0)

    def still_there(self) -> list[str]:
        """Names of the processes that the child has started and that have not ended.

        Raises:
            WorkerError: the child is gone.
        """
        try:
            return self._watch.family.still_there()
        except psutil.Error as problem:
            raise self._exit_reason() from problem

    def hand_to(self, printed: Printed) -> None:
        """Have what the child prints handed to `printed` from now on, if it is `heard`."""
        if self._pump:
            self._pump.hand_to(printed)

    def drain(self) -> None:
        """Wait until what the child has printed so far has been handed on."""
        if self._pump:
            self._pump.drain()

    @property
    def alive(self) -> bool:
        """Whether the child can still be asked."""
        return self._process.is_alive()

    def close(self) -> None:
        """End the child and whatever it has started."""
        Worker._living.discard(self)
        self._watch.end()
        if self._watch.is_alive() and self._watch is not threading.current_thread():
            self._watch.join()
        self._connection.close()
        self._line.close()
        self._process.join(timeout=_CLOSING)  # one that waits for a GPU may not even hear a kill
        self._watch.family.close()
        self.drain()
        if self._folder:
            self._folder.cleanup()

    def _hang_up(self) -> None:
        """Nothing more comes from the pipe, whoever else may hold its other end."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    @property
    def _pid(self) -> int:
        return self._process.pid or 0

    def _exit_reason(self) -> WorkerError:
        """Why the child does not answer; one that answers nonsense is ended."""
        self._process.join(timeout=_GRACE)
        if self._watch.family.bereaved:  # how it ended, the server will say when it comes to it
            self._process.join(timeout=_NEWS)
        verdict, code = self._watch.verdict, self._process.exitcode
        if verdict:
            return WorkerError(verdict.reason, kind=verdict.kind)
        if code is None:
            self._watch.end()
            return WorkerError("the worker process answered nonsense, or not at all", kind="died")
        how = f"died (signal {-code})" if code < 0 else f"ended (exit code {code})"
        return WorkerError(f"the worker process {how}", kind="died")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
