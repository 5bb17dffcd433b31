"""What all runs of one command share: the task's data, the device, the trusted workers."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import psutil
from numpy.typing import NDArray

from bench.engine import plan
from bench.engine.device_lock import DeviceLock
from bench.engine.process import Reply, Worker, context
from bench.engine.progress import Progress
from bench.errors import BenchError
from bench.executors.local import LocalExecutor, default_workers
from bench.networks import NETWORKS
from bench.registry import Plugin
from bench.specs import Spec
from bench.store import Store
from bench.tasks.task import METHOD_SPLITS, SPLITS, Faces, Task


@dataclass(frozen=True)
class Device:
    """Where models are computed. `kind` is `cpu` or the CUDA device's name, and part of a row's division."""

    kind: str
    torch_name: str  # "cpu" or "cuda"
    processor: str  # the host's processor
    environment: Mapping[str, str]


def find_device(wanted: str) -> Device:
    """The device that `auto`, `cpu` or `cuda` means here; a child looks, so that this process needs no torch."""
    from bench.engine.serve_entries import probe

    with Worker(context("cpu"), probe) as worker:
        found: Reply = worker.ask("devices")
    cuda = str(found.values["cuda"])
    if wanted == "cuda" and not cuda:
        raise BenchError("no CUDA device is available; use --device cpu")
    use_cuda = bool(cuda) and wanted != "cpu"
    return Device(cuda if use_cuda else "cpu", "cuda" if use_cuda else "cpu", processor(), found.values["environment"])


def processor() -> str:
    """The host processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def default_memory_limit(workers: int) -> int:
    """Bytes that a trial's processes may have: an even share of what is free now, less a tenth for everybody else."""
    return int(0.9 * psutil.virtual_memory().available / workers)


class Session:
    """Opens with `with`; workers start when they are first needed and end with the block."""

    def __init__(
        self,
        store: Store,
        task: Task,
        device: Device,
        *,
        workers: int | None = None,
        progress: Progress | None = None,
        memory_limit: int | None = None,
    ) -> None:
        self.store, self.task, self.device = store, task, device
        self.workers = workers or default_workers(device.kind)
        self.progress = progress or Progress()
        network = NETWORKS[task.network]
        model_bytes = network.training_bytes(task.size, task.recipe.batch_size)
        self.stack_size = plan.stack_size(device.kind, network.cpu_stack, model_bytes)
        self.memory_limit = memory_limit or default_memory_limit(self.workers)
        self.device_lock = DeviceLock(device.kind, self.progress.note)
        self._context = context(device.kind)

    @cached_property
    def faces(self) -> Faces:
        """The task's data, checked against the digest in its key."""
        faces = self.task.load()
        if faces.digest() != self.task.digest:
            raise BenchError(
                f"the data of task {self.task.name} is not what its key says; a different version of the data is installed"
            )
        return faces

    @cached_property
    def executor(self) -> LocalExecutor:
        """The trusted workers."""
        from bench.engine.serve_entries import trusted

        kind = self.device.kind
        return LocalExecutor(
            lambda: Worker(self._context, trusted, self._setting(), self._pictures(SPLITS), device_kind=kind), self.workers
        )

    def method_worker(
        self, plugin: Plugin, spec: Spec, original: Mapping[str, NDArray[np.float32]], *, log: Path | None = None
    ) -> Worker:
        """A fresh process for one plugin, with the splits that a method may see."""
        from bench.engine.serve_entries import method

        splits = METHOD_SPLITS if original else ()
        return Worker(
            self._context,
            method,
            self._setting(),
            self._pictures(splits),
            {name: self.faces.identities[self.faces.splits[name]] for name in splits},
            original,
            plugin,
            spec,
            device_kind=self.device.kind,
            log=log,
            memory_limit=self.memory_limit,
        )

    def _setting(self) -> tuple[object, ...]:
        return self.task.network, len(self.task.groups), self.task.recipe, self.device.torch_name

    def _pictures(self, splits: tuple[str, ...]) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        return {name: self.faces.split(name) for name in splits}

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if "executor" in self.__dict__:
            self.executor.close()
