"""What all runs of one command share: the task's data, the device, the trusted workers, and where results are kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from bench.engine import plan
from bench.engine.device_lock import DeviceLock
from bench.engine.keeper import Keeper
from bench.engine.machine import Device, default_memory_limit
from bench.engine.worker.process import Worker, context
from bench.errors import BenchError
from bench.executors.local import LocalExecutor, default_workers
from bench.models.networks import NETWORKS
from bench.progress import Progress
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.tasks.task import METHOD_SPLITS, SPLITS, Task, TaskData


class Session:
    """Opens with `with`; workers start when they are first needed and end with the block."""

    def __init__(
        self,
        keeper: Keeper,
        task: Task,
        device: Device,
        *,
        workers: int | None = None,
        progress: Progress | None = None,
        memory_limit: int | None = None,
    ) -> None:
        self.keeper, self.task, self.device = keeper, task, device
        self.workers = workers or default_workers(device.kind)
        self.progress = progress or Progress()
        network = NETWORKS[task.network]
        model_bytes = network.training_bytes(task.size, task.recipe.batch_size)
        self.stack_size = plan.stack_size(device.kind, network.cpu_stack, model_bytes)
        self.memory_limit = memory_limit or default_memory_limit(self.workers)
        self.device_lock = DeviceLock(device.kind, self.progress.note)
        self._context = context(device.kind)

    @cached_property
    def data(self) -> TaskData:
        """The task's data, checked against the digest in its key."""
        data = self.task.load()
        if data.digest() != self.task.digest:
            raise BenchError(
                f"the data of task {self.task.name} is not what its key says; a different version of the data is installed"
            )
        return data

    @cached_property
    def executor(self) -> LocalExecutor[Worker]:
        """The trusted workers."""
        from bench.engine.worker.entries import trusted

        kind = self.device.kind

        def start() -> Worker:
            return Worker(self._context, trusted, self._setting(), self._pictures(SPLITS), device_kind=kind)

        return LocalExecutor(start, self.workers, Worker.end_all)

    def method_worker(
        self, plugin: Plugin, spec: Spec, original: Mapping[str, NDArray[np.float32]], *, log: Path | None = None
    ) -> Worker:
        """A fresh process for one plugin, with the splits that a method may see."""
        from bench.engine.worker.entries import method

        splits = METHOD_SPLITS if original else ()
        return Worker(
            self._context,
            method,
            self._setting(),
            self._pictures(splits),
            {name: self.data.identities[self.data.splits[name]] for name in splits},
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
        return {name: self.data.split(name) for name in splits}

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if "executor" in self.__dict__:
            self.executor.close()
