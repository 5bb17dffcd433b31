"""Child processes: how they are started, asked, timed and ended.

Children are forks of a server that has imported torch (spawned afresh for CUDA, which does not survive a fork). A child
answers with JSON and safetensors only, never with pickles: it may have run a plugin.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
from numpy.typing import NDArray
from safetensors.numpy import load

Arrays = dict[str, NDArray[Any]]
OnProgress = Callable[[float], None]
_LARGEST_HEADER = 16 * 2**20
_TICK = 0.5  # seconds between two looks at a child that tells nothing
_ALMOST = 0.95  # the most that an estimate of progress may claim


class WorkerError(Exception):
    """A child could not do what it was asked; `traceback` is the child's, if it lived to tell."""

    def __init__(self, reason: str, traceback: str = "") -> None:
        super().__init__(reason)
        self.traceback = traceback


@dataclass(frozen=True)
class Reply:
    """What a child answered."""

    values: Mapping[str, Any]
    arrays: Arrays


def context(device_kind: str) -> BaseContext:
    """How children for a kind of device are started."""
    if device_kind != "cpu":
        return multiprocessing.get_context("spawn")
    fork_server = multiprocessing.get_context("forkserver")
    fork_server.set_forkserver_preload(["bench.engine.serve"])
    return fork_server


class Worker:
    """A child process that serves requests one at a time."""

    def __init__(self, how: BaseContext, serve: Callable[..., None], *arguments: object, log: Path | None = None) -> None:
        ours, theirs = how.Pipe()
        self._connection = ours
        self._process: BaseProcess = how.Process(target=serve, args=(theirs, log, *arguments), daemon=True)  # type: ignore[attr-defined]
        self._process.start()
        theirs.close()

    def ask(
        self, operation: str, *, on_progress: OnProgress = lambda share: None, expected: float = 0.0, **arguments: object
    ) -> Reply:
        """Have the child do something and wait for the answer.

        Progress is what the child tells; of a child that tells nothing, the share of the `expected` seconds that has passed.

        Raises:
            WorkerError: it failed, or died.
        """
        try:
            self._connection.send((operation, arguments))
            start = time.monotonic()
            while True:
                while expected and not self._connection.poll(_TICK):
                    on_progress(min((time.monotonic() - start) / expected, _ALMOST))
                header = json.loads(self._connection.recv_bytes(_LARGEST_HEADER))
                if "progress" not in header:
                    break
                on_progress(float(header["progress"]))
            arrays = load(self._connection.recv_bytes()) if header.get("arrays") else {}
        except (EOFError, OSError, ValueError) as problem:
            raise WorkerError(self._epitaph()) from problem
        if "error" in header:
            raise WorkerError(str(header["error"]), str(header.get("traceback", "")))
        return Reply(header["values"], arrays)

    def timed(
        self,
        operation: str,
        *,
        on_device: str,
        on_progress: OnProgress = lambda share: None,
        expected: float = 0.0,
        **arguments: object,
    ) -> float:
        """Seconds that an operation takes: the child's CPU time, or wall time up to the device's synchronisation.

        A noisy neighbour costs no CPU time. Resolution on the CPU: 10 ms.
        """
        clock = self._cpu_seconds if on_device == "cpu" else time.monotonic
        start = clock()
        self.ask(operation, on_progress=on_progress, expected=expected, **arguments)
        return clock() - start

    def peak_memory(self, *, on_device: str) -> int | None:
        """Most bytes of device memory so far, as the child's allocator counts them; on a CPU, of the process.

        None where the operating system does not tell.
        """
        if on_device != "cpu":
            return int(self.ask("peak_memory").values["bytes"])
        with suppress(OSError, StopIteration, ValueError):
            lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines()
            line = next(line for line in lines if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        return None

    def _cpu_seconds(self) -> float:
        with suppress(psutil.Error):
            times = psutil.Process(self._process.pid).cpu_times()
            return float(times.user + times.system)
        raise WorkerError(self._epitaph())

    @property
    def alive(self) -> bool:
        """Whether the child can still be asked."""
        return self._process.is_alive()

    def close(self) -> None:
        """End the child."""
        self._connection.close()
        self._process.join(timeout=1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _epitaph(self) -> str:
        self._process.join(timeout=5)
        code = self._process.exitcode
        if code is None:
            return "the worker process stopped answering"
        return f"the worker process died (signal {-code})" if code < 0 else f"the worker process ended (exit code {code})"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PhaseClock:
    """Wall seconds per phase, monotonic."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}

    def measure(self, phase: str) -> _Span:
        """Count the time inside the `with` block as that phase."""
        return _Span(self, phase)


class _Span:
    def __init__(self, clock: PhaseClock, phase: str) -> None:
        self._clock, self._phase = clock, phase

    def __enter__(self) -> None:
        self._start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        phases = self._clock.phases
        phases[self._phase] = phases.get(self._phase, 0.0) + time.monotonic() - self._start
