"""The machine that computes: its devices, processor and memory; its trusted workers, and what it has fetched."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil

from bench.engine.contents import Contents
from bench.engine.device_lock import DeviceLock
from bench.engine.jobs import Setting, Work
from bench.engine.method_process import start_method
from bench.engine.worker import entries
from bench.engine.worker.answers import Devices
from bench.engine.worker.calls import MethodCalls, ProbeCalls, TrustedCalls
from bench.engine.worker.handed import Handed
from bench.engine.worker.limits import Limits
from bench.engine.worker.log import Printed, unheard
from bench.engine.worker.process import Worker
from bench.errors import BenchError, WorkerError
from bench.models.devices import CPU, FLOAT32, device_of, gpu_number, is_cpu, kind_of, precision_named, precision_of
from bench.outputs import Arrays
from bench.progress import Note
from bench.registry.discovery import Plugin
from bench.tasks.task import SPLITS, TaskData

_A_MOMENT = 1.0  # seconds after which the machine may be another than it was


@dataclass(frozen=True)
class Device:
    """Where models are computed. `kind` is part of a row's division (see `bench.models.devices`)."""

    kind: str
    torch_name: str  # "cpu", "cuda" or "cuda:1"
    processor: str  # the host's processor
    environment: Mapping[str, str]
    unit: str = ""  # a GPU's UUID, which tells it apart from others of its name
    memory: int = 0  # bytes, of a GPU

    @property
    def timed_as(self) -> str:
        """What times belong to: the processor, or the GPU, which waits for it."""
        return self.processor if is_cpu(self.kind) else f"{device_of(self.kind)}, {self.processor}"


def find_device(wanted: str, precision: str = FLOAT32) -> Device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:1` means here; a child looks, so that this process needs no torch.

    Raises:
        BenchError: it is not there, or does not compute in this precision.
    """
    number, exact = gpu_number(wanted), precision_named(precision)
    found = _devices()
    if number is None or (wanted == "auto" and not found.gpus):
        if exact == "tf32":
            raise BenchError("tf32 is a precision of GPUs: on a processor use --precision float32 or bf16")
        return Device(kind_of(CPU, exact), CPU, processor(), found.environment)
    if number >= len(found.gpus):
        others = f"there are {len(found.gpus)}, from cuda:0 on" if found.gpus else "use --device cpu"
        raise BenchError(f"no such CUDA device is available; {others}")
    gpu = found.gpus[number]
    if exact == "bf16" and not gpu.bf16:
        raise BenchError(f"{gpu.name} has no bf16; use --precision float32")
    name = f"cuda:{number}" if number else "cuda"
    return Device(kind_of(gpu.name, exact), name, processor(), found.environment, gpu.uuid, gpu.memory)


def find_kind(kind: str) -> Device:
    """A device of a kind, of several GPUs the first of its name.

    Raises:
        BenchError: there is none.
    """
    if is_cpu(kind):
        return find_device(CPU, precision_of(kind))
    names = [gpu.name for gpu in _devices().gpus]
    if device_of(kind) not in names:
        raise BenchError(f"there is no {device_of(kind)} here")
    return find_device(f"cuda:{names.index(device_of(kind))}", precision_of(kind))


def _devices() -> Devices:
    with Worker(entries.probe) as worker:
        return ProbeCalls(worker).devices()


def processor() -> str:
    """The host processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def default_memory_limit(workers: int) -> int:
    """Bytes that a trial's processes may have: an even share of what is free now, less a tenth for everybody else.

    Free is also what a control group, a container's say, leaves of it.
    """
    free, left = psutil.virtual_memory().available, Limits.here().memory
    return int(0.9 * (free if left is None else min(free, left)) / workers)


def default_workers(device_kind: str) -> int:
    """One per core this process may use; on a GPU one, since two would share it."""
    return max(1, int(usable_cores())) if is_cpu(device_kind) and hasattr(os, "sched_getaffinity") else 1


def usable_cores() -> float:
    """Cores that this process may run on, or as many as a control group gives it the time of."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, Limits.here().cores or cores)


class Machine:
    """Where jobs are computed. What they name is fetched once; trusted workers are kept, and replaced when they die."""

    def __init__(self, contents: Contents, note: Note = lambda text: None) -> None:
        self.contents = contents
        self.stopped = threading.Event()  # set when the command ends before its jobs do
        self._note, self._noted = note, set[str]()
        self._trusted: dict[Setting, SimpleQueue[Worker]] = {}
        self._idle: list[Worker] = []  # that run one plugin: on a GPU, whose first use in a process takes half a second
        self._works: Work | None = None  # what they do
        self._timed: tuple[float, Setting, float] | None = None  # when a retraining was, and what that took
        self._guard = threading.Lock()
        self._fetching = threading.Lock()
        self._data = lru_cache(maxsize=2)(contents.data)
        self._weights = lru_cache(maxsize=8)(contents.weights)
        self._source = lru_cache(maxsize=8)(contents.source)

    def data(self, digest: str) -> TaskData:
        """A task's data."""
        with self._fetching:
            return self._data(digest)

    def weights(self, digest: str) -> Arrays:
        """Weights {name: array}."""
        with self._fetching:
            return self._weights(digest)

    def lock(self, setting: Setting) -> DeviceLock:
        """Who computes beside whom."""
        return DeviceLock(setting.unit or device_of(setting.device_kind), self._note_once, self.stopped.is_set)

    def _note_once(self, text: str) -> None:
        """Beside another command, jobs wait again and again."""
        with self._guard:
            new = text not in self._noted
            self._noted.add(text)
        if new:
            self._note(text)

    @contextmanager
    def trusted(self, setting: Setting, *, fresh: bool = False) -> Iterator[TrustedCalls]:
        """A worker that trains and evaluates, to oneself for as long as the block lasts; if `fresh`, nobody used it before."""
        worker = (None if fresh else self._waiting(setting)) or self._start_trusted(setting)
        try:
            yield TrustedCalls(worker)
        finally:
            if worker.alive and not fresh:
                self._queue(setting).put(worker)
            else:
                worker.close()

    @contextmanager
    def method(
        self, setting: Setting, work: Work, printed: Printed = unheard, *, fresh: bool = False, decoy: bool = False
    ) -> Iterator[MethodCalls]:
        """A process that runs one plugin; on a CPU, or if `fresh`, nobody used it before; of a `decoy`, it has no task yet.

        All that it prints has been handed to `printed` when the block ends.
        """
        once = fresh or setting.device == "cpu"
        worker = (None if once else self._idle_worker(work)) or self._start_method(setting, work, decoy=decoy)
        worker.hand_to(printed)
        calls = MethodCalls(worker)
        try:
            if setting.own_network:
                calls.know_network()
            yield calls
        except BaseException:
            worker.close()
            raise
        if once:
            worker.close()
        else:
            worker.drain()
            with self._guard:
                self._idle.append(worker)

    def just_timed(self, setting: Setting, seconds: float) -> None:
        """A retraining takes so many seconds now."""
        self._timed = time.monotonic(), setting, seconds

    def timed_just_now(self, setting: Setting) -> float | None:
        """Seconds of one retraining, if that was timed a moment ago."""
        if self._timed is None:
            return None
        when, what, seconds = self._timed
        return seconds if what == setting and time.monotonic() - when < _A_MOMENT else None

    def plugin(self, work: Work) -> Plugin:
        """The plugin of some work as this machine has it; a file as the driver has read it, whatever lies there now.

        Raises:
            WorkerError: its source is another here.
        """
        return self._fetched(work.plugin, work.source)

    def _fetched(self, plugin: Plugin, source: str) -> Plugin:
        if not plugin.distribution:
            with self._fetching:
                plugin = replace(plugin, text=self._source(source))
        if plugin.source_hash() != source:
            remedy = f"; install version {plugin.version}" if plugin.version else ""
            raise WorkerError(f"plugin {plugin.name} has another source on this machine{remedy}")
        return plugin

    def _with_network(self, setting: Setting) -> Setting:
        """With the source of a network that is a file."""
        own = setting.own_network
        return replace(setting, own_network=replace(own, plugin=self._fetched(own.plugin, own.source))) if own else setting

    def stop(self) -> None:
        """End every child of this process, whoever waits for it."""
        self.stopped.set()
        Worker.end_all()

    def close(self) -> None:
        """End all workers."""
        workers = list(self._idle)
        for queue in self._trusted.values():
            while not queue.empty():
                workers.append(queue.get())
        for worker in workers:
            worker.close()

    def _idle_worker(self, work: Work) -> Worker | None:
        """An idle process that does this work; a process serves one plugin only, so those of other work end."""
        with self._guard:
            if work != self._works:
                for worker in self._idle:
                    worker.close()
                self._idle, self._works = [], work
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.close()
            return None

    def _queue(self, setting: Setting) -> SimpleQueue[Worker]:
        with self._guard:
            return self._trusted.setdefault(setting, SimpleQueue())

    def _waiting(self, setting: Setting) -> Worker | None:
        """A trusted worker that has nothing to do; those that somebody killed meanwhile are passed over."""
        with suppress(Empty):
            while True:
                worker = self._queue(setting).get_nowait()
                if worker.alive:
                    return worker
                worker.close()
        return None

    def _start_trusted(self, setting: Setting) -> Worker:
        data, known = self.data(setting.data), self._with_network(setting)
        pictures = {name: data.split(name) for name in SPLITS}
        return self._started(lambda: Worker(entries.trusted, known, pictures, device_kind=setting.device_kind))

    def handed(self, setting: Setting, work: Work) -> Handed:
        """What a method gets."""
        return Handed.of(self.data(setting.data), self.weights(work.original))

    def _start_method(self, setting: Setting, work: Work, *, decoy: bool) -> Worker:
        plugin, known, handed = self.plugin(work), self._with_network(setting), self.handed(setting, work)
        limits, given = (work.memory_limit, work.closed), handed.decoy() if decoy else handed
        return self._started(lambda: start_method(known, plugin, work.spec, work.share, *limits, given))

    def _started(self, start: Callable[[], Worker]) -> Worker:
        """A new worker; `stop` does not find one that is just starting, so it is looked at before and after."""
        if not self.stopped.is_set():
            worker = start()
            if not self.stopped.is_set():
                return worker
            worker.close()
        raise WorkerError("stopped", kind="died")
