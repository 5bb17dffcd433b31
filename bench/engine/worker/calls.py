"""What can be asked of each kind of child, as typed calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import mean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.engine.worker.answers import Changed, Description, Devices, Examined, Nothing, PeakMemory
from bench.engine.worker.handed import Handed
from bench.engine.worker.process import OnProgress, Worker
from bench.errors import WorkerError
from bench.outputs import Arrays, Outputs, from_arrays
from bench.registry.discovery import Plugin

SETUP_LIMIT = 60.0  # seconds for what comes before and after `unlearn`: importing the plugin, handing the model over
_LEAST_TIMED = 0.2  # seconds
_EPOCHS_ON_GPU, _LEAST_ON_GPU = 5, 2.0  # epochs, and seconds of all of them
_WEIGHTS = "weights/"  # what the names of weights begin with where outputs come with them


class ProbeCalls:
    """A child that looks; see `probe`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def devices(self) -> Devices:
        """What there is to compute on."""
        return self._worker.ask("devices").read(Devices)

    def load(self, group: str, plugin: Plugin) -> None:
        """Import a plugin of any kind."""
        self._worker.ask("load", limit=SETUP_LIMIT, group=group, plugin=plugin).read(Nothing)

    def changed_by_loading(self, group: str, plugin: Plugin) -> list[str]:
        """What importing a plugin changes in a process, in words."""
        return self._worker.ask("changed_by_loading", limit=SETUP_LIMIT, group=group, plugin=plugin).read(Changed).changed


class TrustedCalls:
    """A child that trains and evaluates; see `trusted`."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def examine_network(self) -> Examined:
        """What a network costs that keeps what every network has to."""
        return self.worker.ask("examine_network").read(Examined)

    def train_original(self, reached: OnProgress) -> tuple[Arrays, Outputs]:
        """The original model: weights {name: [1, ...]} and outputs."""
        arrays = self.worker.ask("train_original", on_progress=reached).arrays
        weights = {name.removeprefix(_WEIGHTS): array for name, array in arrays.items() if name.startswith(_WEIGHTS)}
        return weights, from_arrays(arrays)

    def train_retrained(self, indices: Sequence[int], reached: OnProgress) -> Outputs:
        """Outputs of a stack of retrained models."""
        return from_arrays(self.worker.ask("train_retrained", on_progress=reached, indices=list(indices)).arrays)

    def train_on_shares(self, indices: Sequence[int], share: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Of models that are each trained on a share [M, n]: which photos they recognise, and which they saw."""
        arrays = self.worker.ask("train_on_shares", indices=list(indices), share=share).arrays
        return arrays["right"], arrays["included"]

    def timed_epoch(self) -> float:
        """Seconds of an epoch of retraining a plain network, which is as warm as a method finds its own.

        Of a task so small that nothing can be said of one epoch, the mean of several. On a GPU, where the first epoch is slow and
        each of the others takes another time, the median of five or more after the first.
        """
        self.worker.ask("prepare_epoch")
        if self.worker.on_cpu:
            return mean(self._epochs(1, _LEAST_TIMED))
        self.worker.ask("run_epoch")
        return median(self._epochs(_EPOCHS_ON_GPU, _LEAST_ON_GPU))

    def _epochs(self, count: int, seconds: float) -> list[float]:
        """Seconds of each of so many epochs, and of more until they have taken so long together."""
        found: list[float] = []
        while len(found) < count or sum(found) < seconds:
            start = self.worker.clock()
            self.worker.ask("run_epoch")
            found.append(self.worker.clock() - start)
        return found

    def evaluate(self, weights: Mapping[str, NDArray[Any]]) -> Outputs:
        """Outputs of M models given by their weights {name: [M, ...]}."""
        return from_arrays(self.worker.ask("evaluate", weights=weights).arrays)


class MethodCalls:
    """A child that runs one plugin; see `method`."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def describe(self, models: int) -> Description:
        """What the engine must know of the method."""
        return self.worker.ask("describe", limit=SETUP_LIMIT, models=models).read(Description)

    def know_network(self) -> None:
        """Import a network that does not come with bench and make one: first times are slow, and no method's fault."""
        self.worker.ask("know_network", limit=SETUP_LIMIT)

    def load(self, trial: int) -> None:
        """Import the plugin, and make the method that a trial uses."""
        with _beside("load"):
            self.worker.ask("load", limit=SETUP_LIMIT, trial=trial)

    def hand_over(self, handed: Handed, trial: int) -> None:
        """The task itself, after a rehearsal."""
        with _beside("hand_over"):
            self.worker.ask("hand_over", limit=SETUP_LIMIT, handed=handed, trial=trial)

    def start(self, trials: Sequence[int], root: int, allowance: float, *, stacked: bool) -> None:
        """Make model, data and trial object."""
        with _beside("start"):
            self.worker.ask("start", limit=SETUP_LIMIT, trials=list(trials), root=root, allowance=allowance, stacked=stacked)

    def warm_up(self) -> None:
        """One step of a throw-away copy."""
        with _beside("warm_up"):
            self.worker.ask("warm_up", limit=SETUP_LIMIT)

    def unlearn(self, reached: OnProgress, *, expected: float, limit: float) -> None:
        """Run the method; after `limit` seconds it is killed."""
        self.worker.ask("unlearn", on_progress=reached, expected=expected, limit=limit)

    def weights(self, largest: int) -> Arrays:
        """Weights of the unlearned models {name: [M, ...]}, at most so many bytes."""
        with _beside("weights"):
            return self.worker.ask("weights", limit=SETUP_LIMIT, largest=largest).arrays

    def peak_device_memory(self) -> int:
        """Most bytes of device memory that tensors have had."""
        return self.worker.ask("peak_memory", limit=SETUP_LIMIT).read(PeakMemory).bytes


@contextmanager
def _beside(operation: str) -> Iterator[None]:
    """Around what does not count against the budget; to be killed meanwhile is a failure, not a late trial."""
    try:
        yield
    except WorkerError as problem:
        if problem.kind == "time":
            raise WorkerError(f"{operation}: {problem}", kind="died") from problem
        raise
