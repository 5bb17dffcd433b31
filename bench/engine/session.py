"""What all runs of one command share: the task, the device, where results are kept, and where jobs are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from types import TracebackType

from bench.engine import plan
from bench.engine.contents import Shelf
from bench.engine.executor import Executor, ExecutorFactory, Printed, unheard
from bench.engine.jobs import ExamineNetwork, Job, Setting, T
from bench.engine.keeper import Keeper
from bench.engine.machine import Device, default_memory_limit, default_workers
from bench.errors import BenchError, WorkerError
from bench.models.networks import NETWORKS, Cost
from bench.progress import Progress
from bench.tasks.task import Task, TaskData
from bench.tasks.validation import wrong_digest


class Session:
    """Opens with `with`; workers start when they are first needed and end with the block."""

    def __init__(
        self,
        keeper: Keeper,
        task: Task,
        device: Device,
        executor: ExecutorFactory,
        *,
        workers: int | None = None,
        progress: Progress | None = None,
        memory_limit: int | None = None,
        shipped: bool = True,
    ) -> None:
        self.keeper, self.task, self.device = keeper, task, device
        self.shipped = shipped  # whether a reference that comes with the package may be used
        self.workers = workers or default_workers(device.kind)
        self.progress = progress or Progress()
        self.memory_limit = memory_limit or default_memory_limit(self.workers)
        self.shelf = Shelf()
        self._make_executor = partial(executor, self.shelf, self.workers, self.progress.note)

    @property
    def closed(self) -> tuple[str, ...]:
        """Folders to which no method has access."""
        return tuple(str(folder.absolute()) for folder in self.keeper.closed)

    @property
    def stackable(self) -> bool:
        """Whether many models of the task's network can be computed as one."""
        own = self.task.own_network
        return own is None or own.stackable

    @cached_property
    def stack_size(self) -> int:
        """How many models are computed as one; a network that does not come with bench is examined first.

        Raises:
            BenchError: it does not keep what every network has to.
        """
        task, known = self.task, NETWORKS.get(self.task.network)
        model_bytes = (known or self._examined()).training_bytes(task.size, task.recipe.batch_size)
        if not self.stackable:
            return 1
        cpu_stack = known.cpu_stack if known else plan.CPU_STACK
        return plan.stack_size(self.device.kind, cpu_stack, model_bytes, self.device.memory)

    def _examined(self) -> Cost:
        self.progress.stage(f"examining the network {self.task.network}", 1)
        try:
            return self.attempt(ExamineNetwork(self.setting))
        except WorkerError as problem:
            own = self.task.own_network
            blamed = "" if own is None or own.plugin.label in str(problem) else f"network {own.plugin.label}: "
            raise BenchError(f"{blamed}{problem}") from problem

    @cached_property
    def data(self) -> TaskData:
        """The task's data, checked against the digest in its key."""
        data = self.task.load()
        for problem in wrong_digest(self.task, data):
            raise BenchError(f"task {self.task.name}: {problem}")
        return data

    @cached_property
    def setting(self) -> Setting:
        """What every process must know of the task and the device."""
        task, device = self.task, self.device
        digest, own = self.shelf.put_data(task.digest, lambda: self.data), task.own_network
        if own and own.plugin.text is not None:
            self.shelf.put_source(own.source, own.plugin.text)
            own = replace(own, plugin=replace(own.plugin, text=None))  # which machines fetch
        kind, classes = device.kind, len(task.groups)
        return Setting(task.network, classes, task.recipe, device.torch_name, kind, digest, own, task.size, device.unit)

    def results(
        self,
        jobs: Sequence[Job[T]],
        label: str,
        failing: str,
        *,
        units: Callable[[Job[T]], float] = lambda job: 1.0,
        at_once: int | None = None,
        printed: Printed[T] = unheard,
    ) -> Iterator[tuple[Job[T], T]]:
        """Have jobs computed, as a stage of progress with so many units for each; what plugins print goes to `printed`.

        Raises:
            BenchError: one cannot be computed; `failing` says what fails.
        """
        if not jobs:
            return
        advance = self.progress.stage(label, sum(map(units, jobs)))
        told: dict[int, float] = {}

        def reached(job: Job[T], share: float) -> None:
            advance((share - told.get(id(job), 0.0)) * units(job))
            told[id(job)] = share

        with closing(self._executor.submit(jobs, at_once=at_once, reached=reached, printed=printed)) as submitted:
            for job, result in submitted:
                reached(job, 1.0)
                if isinstance(result, WorkerError):
                    raise BenchError(f"{failing}: {result}") from result
                yield job, result
        for job in jobs:  # also those that were cancelled
            reached(job, 1.0)

    def attempt(self, job: Job[T], printed: Printed[T] = unheard) -> T:
        """Have one job computed; what its plugin prints goes to `printed`.

        Raises:
            WorkerError: it cannot be.
        """
        ((_, result),) = self._executor.submit([job], reached=lambda job, share: None, printed=printed)
        if isinstance(result, WorkerError):
            raise result
        return result

    def cancel(self) -> None:
        """Jobs that have not begun are not computed."""
        self._executor.cancel()

    @cached_property
    def _executor(self) -> Executor:
        return self._make_executor()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if "_executor" in self.__dict__:
            self._executor.close()
