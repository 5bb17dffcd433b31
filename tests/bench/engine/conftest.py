"""What stands in for the places where jobs are computed, and for those who are told how far they are."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.engine import machine, method_process
from bench.engine.contents import Shelf
from bench.engine.jobs import Job, Setting, Work
from bench.engine.machine import Machine
from bench.engine.worker import entries
from bench.engine.worker.process import Reply
from bench.errors import WorkerError
from bench.models.networks import recipe_for
from bench.outputs import OUTPUT_SPLITS, Arrays, Outputs
from bench.progress import Progress
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.tasks.task import SPLITS, TaskData

Answer = Callable[[Job[Any]], Any]
Fails = Callable[[str, Sequence[int]], WorkerError | None]


class Answering:
    """An executor that has a function answer its jobs, one after the other, and remembers them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Job[Any]] = []
        self.at_once: list[int | None] = []  # of every call of `submit`
        self.closed = 0
        self._waiting: deque[Job[Any]] = deque()

    def __call__(self, *_: object) -> Answering:
        """As what makes it: a session is given a factory."""
        return self

    def submit(
        self, jobs: Sequence[Job[Any]], *, at_once: int | None = None, reached: Any, printed: Any
    ) -> Iterator[tuple[Job[Any], Any]]:
        self.at_once.append(at_once)
        self._waiting = deque(jobs)
        while self._waiting:
            job = self._waiting.popleft()
            self.asked.append(job)
            reached(job, 0.5)
            printed(job, b"words\n")
            try:
                yield job, self.answer(job)
            except WorkerError as problem:
                yield job, problem

    def cancel(self) -> None:
        self._waiting.clear()

    def close(self) -> None:
        self.closed += 1


class Told(Progress):
    """Remembers what the user is told, and how far every stage came."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done: dict[str, float] = {}

    def stage(self, label: str, total: float) -> Callable[[float], None]:
        self.done[label] = 0.0

        def advance(units: float) -> None:
            self.done[label] += units / total

        return advance

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def answering() -> type[Answering]:
    return Answering


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def small_data() -> Callable[..., TaskData]:
    """Makes data with two black pictures in every split; the labels count them."""

    def make(people: int = 7, size: int = 2) -> TaskData:
        count = 2 * len(SPLITS)
        rows = {name: np.arange(2) + 2 * index for index, name in enumerate(SPLITS)}
        return TaskData(np.zeros((count, 3, size, size), np.uint8), np.arange(count), np.full(count, people), rows)

    return make


def outputs(models: int) -> Outputs:
    return Outputs({name: np.zeros((models, 3, 2), np.float32) for name in OUTPUT_SPLITS}, np.zeros(models))


def never(operation: str, trials: Sequence[int]) -> None:
    return None


class Child:
    """A process that answers at once; `fails(operation, trials)` says what it raises, `takes` what its clock counts for each."""

    def __init__(self, fails: Fails, takes: Mapping[str, float], arguments: Sequence[object], options: dict[str, Any]) -> None:
        self.fails, self.takes, self.arguments, self.options = fails, takes, arguments, options
        self.alive, self.closed = True, False
        self.asked: list[str] = []
        self.trials: Sequence[int] = ()
        self.stacked: bool | None = None
        self.on_cpu = options.get("device_kind", "cpu") == "cpu"
        self._seconds = 0.0
        self.drained = 0

    def ask(self, operation: str, on_progress: Any = None, **arguments: Any) -> Reply:
        self.asked.append(operation)
        self._seconds += self.takes.get(operation, 0.0)
        self.trials = arguments.get("trials", arguments.get("indices", self.trials))
        self.stacked = arguments.get("stacked", self.stacked)
        problem = self.fails(operation, self.trials)
        if problem:
            self.alive = problem.kind not in ("died", "time", "memory")
            raise problem
        if on_progress:
            on_progress(0.5)
        return self._reply(operation, arguments)

    def _reply(self, operation: str, arguments: dict[str, Any]) -> Reply:
        if operation == "peak_memory":
            return Reply(msgspec.json.encode({"bytes": 5000}), {})
        arrays: Arrays = {}
        match operation:
            case "weights":
                arrays = {"fc.weight": np.zeros((len(self.trials), 4, 2), np.float32)}
            case "evaluate":
                arrays = outputs(len(arguments["weights"]["fc.weight"])).arrays()
            case "train_original":
                arrays = {**outputs(1).arrays(), "weights/fc.weight": np.ones((1, 4, 2), np.float32)}
            case "train_retrained":
                arrays = outputs(len(arguments["indices"])).arrays()
            case "train_on_shares":
                seen = np.full((len(arguments["indices"]), 3), arguments["share"] > 0.5)
                arrays = {"right": ~seen, "included": seen}
        return Reply(b"{}", arrays)

    def clock(self) -> float:
        return self._seconds

    def hand_to(self, printed: Callable[[bytes], None]) -> None:
        printed(f"{len(self.asked)} asked; ".encode())

    def drain(self) -> None:
        self.drained += 1

    def still_there(self) -> list[str]:
        return []

    def peak_memory(self) -> int:
        return 1000

    def close(self) -> None:
        self.alive, self.closed = False, True


class Lock:
    """Remembers how it was held."""

    def __init__(self) -> None:
        self.held: list[str] = []

    @contextmanager
    def shared(self) -> Iterator[None]:
        self.held.append("shared")
        yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        self.held.append("alone")
        yield


class Room:
    """A machine whose processes are stand-ins, and what jobs of one plugin need of it."""

    def __init__(self, folder: Path, data: TaskData, device: str) -> None:
        self.shelf, self.lock = Shelf(), Lock()
        self.fails: Fails = never  # of methods' processes
        self.trusted_fails: Fails = never
        self.takes = {"unlearn": 1.0, "run_epoch": 1.0}  # seconds of operations; of others none
        self.when_one_starts: Callable[[], None] = lambda: None
        self.children: list[Child] = []  # methods' processes
        self.trusted: list[Child] = []
        kind = "cpu" if device == "cpu" else "Some GPU"
        digest = self.shelf.put_data(data.digest(), lambda: data)
        self.setting = Setting("resnet8-v1", 4, recipe_for("resnet8-v1"), device, kind, digest)
        plugin = Plugin("stub", str(folder / "stub.py"), "", "", text=b"")
        self.shelf.put_source(plugin.source_hash(), b"")
        source, original = plugin.source_hash(), {"fc.weight": np.zeros((1, 4, 2), np.float32)}
        weights = self.shelf.put_weights(original)
        self._work = Work(plugin, source, Spec("stub", {}), 7, True, False, 1.5, 0.2, weights, 10**9, ("/store",))
        self.machine = Machine(self.shelf)

    def work(self, **changes: Any) -> Work:
        return dataclasses.replace(self._work, **changes)

    def start(self, entry: object, *arguments: object, **options: Any) -> Child:
        self.when_one_starts()
        if entry is entries.trusted:
            self.trusted.append(Child(self.trusted_fails, self.takes, arguments, options))
            return self.trusted[-1]
        assert entry is entries.method
        self.children.append(Child(self.fails, self.takes, arguments, options))
        return self.children[-1]

    def end_all(self) -> None:
        for child in (*self.children, *self.trusted):
            child.alive = False

    def has_ended(self) -> bool:
        """Whether every process was closed."""
        return all(child.closed for child in (*self.children, *self.trusted))


class _Starts:
    """In place of the class of processes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.end_all = room.end_all

    def __call__(self, *arguments: Any, **options: Any) -> Child:
        return self._room.start(*arguments, **options)


@pytest.fixture
def room_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_data) -> Iterator[Callable[[str], Room]]:
    """Makes such a machine with a device for torch: "cpu" or "cuda"."""
    rooms: list[Room] = []

    def make(device: str) -> Room:
        room = Room(tmp_path, small_data(), device)
        rooms.append(room)
        for place in (machine, method_process):
            monkeypatch.setattr(place, "Worker", _Starts(room))
        monkeypatch.setattr(machine, "DeviceLock", lambda kind, note, stopped: room.lock)
        return room

    yield make
    for room in rooms:
        room.machine.close()


@pytest.fixture
def room(room_with: Callable[[str], Room]) -> Room:
    return room_with("cpu")
