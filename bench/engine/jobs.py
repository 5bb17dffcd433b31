"""What is to be computed, as data: names, numbers and specs. Whatever is large is named by the hash of its content.

A job says nothing of where it is computed. Every one pickles to a few kilobytes, whatever the size of the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.models.devices import Precision, precision_of
from bench.models.networks import Cost
from bench.models.recipe import Recipe
from bench.outputs import Arrays, Outputs
from bench.registry.discovery import Plugin
from bench.registry.networks import OwnNetwork
from bench.registry.specs import Spec
from bench.store.records import Failed, Killed, Measured

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """What every process must know of the task and the device."""

    network: str
    classes: int
    recipe: Recipe
    device: str  # for torch: "cpu", "cuda" or "cuda:1"
    device_kind: str  # `cpu`, or the CUDA device's name; with the precision, unless that is float32
    data: str  # the digest of the task's data
    own_network: OwnNetwork | None = None  # where the network comes from, if not with bench
    size: int = 32  # pixels of a side
    unit: str = ""  # a GPU's UUID

    @property
    def precision(self) -> Precision:
        """What networks compute in."""
        return precision_of(self.device_kind)

    @property
    def contents(self) -> tuple[str, ...]:
        """Hashes of what must be fetched: the data, and the source of a network that is a file."""
        own = self.own_network
        return (self.data, own.source) if own and not own.plugin.distribution else (self.data,)


@dataclass(frozen=True)
class Work:
    """Which method's trials, and how: what is the same for all of them."""

    plugin: Plugin
    source: str  # hash of the plugin's source
    spec: Spec
    seed: int
    stackable: bool
    uses_clock: bool
    allowance: float  # seconds of one trial
    share: float | None  # of one retraining, that one trial may take; None: the budget is in seconds
    original: str  # hash of the original model's weights
    memory_limit: int  # bytes that the processes of a trial may have
    closed: tuple[str, ...] = ()  # folders to which they have no access

    @property
    def at_once(self) -> int | None:
        """How many chunks may be computed at a time; None: as many as there are workers."""
        return 1 if self.uses_clock else None


@dataclass(frozen=True)
class Job(Generic[T]):
    """Something to compute; `T` is the kind of its result."""

    setting: Setting

    @property
    def contents(self) -> tuple[str, ...]:
        """Hashes of what must be fetched for it."""
        return self.setting.contents

    @property
    def label(self) -> str:
        """What it is, in words."""
        return type(self).__name__


@dataclass(frozen=True)
class ExamineNetwork(Job[Cost]):
    """See whether a network that does not come with bench keeps what every network has to, and what it costs."""


@dataclass(frozen=True)
class Trained:
    """The original model: weights {name: [1, ...]} and outputs."""

    weights: Arrays
    outputs: Outputs


@dataclass(frozen=True)
class TrainOriginal(Job[Trained]):
    """Train the original model."""


@dataclass(frozen=True)
class Evaluate(Job[Outputs]):
    """Evaluate models that were not trained here: an original that came with a task, or such as were unlearned elsewhere."""

    weights: str

    @property
    def contents(self) -> tuple[str, ...]:
        """The data and the weights."""
        return *self.setting.contents, self.weights


@dataclass(frozen=True)
class TrainRetrained(Job[Outputs]):
    """Train a stack of retrained models, and evaluate them."""

    indices: tuple[int, ...]


@dataclass(frozen=True)
class TimeRetraining(Job[float]):
    """Time an epoch of retraining, alone on the device: seconds of one retraining, on the clock of the budget."""


@dataclass(frozen=True)
class Recognised:
    """Of M models and n training photos [M, n]: which photos each recognises, and which it saw."""

    right: NDArray[np.bool_]
    included: NDArray[np.bool_]


@dataclass(frozen=True)
class TrainOnShares(Job[Recognised]):
    """Train a stack of models, each on a random share of all training photos."""

    indices: tuple[int, ...]
    share: float


@dataclass(frozen=True)
class _MethodJob(Job[T]):
    work: Work

    @property
    def contents(self) -> tuple[str, ...]:
        """The data, the original weights, and the source of a plugin that is a file."""
        own = () if self.work.plugin.distribution else (self.work.source,)
        return *self.setting.contents, self.work.original, *own


@dataclass(frozen=True)
class Computed:
    """A chunk that finished."""

    outputs: Outputs
    measured: Measured
    wall_seconds: float


@dataclass(frozen=True)
class Unlearn(_MethodJob[Computed | Failed]):
    """Unlearn a chunk of trials and evaluate it: weights never leave the machine that made them."""

    trials: tuple[int, ...]


@dataclass(frozen=True)
class Alone:
    """A trial that finished alone on the device."""

    outputs: Outputs
    measured: Measured


@dataclass(frozen=True)
class TimeTrial(_MethodJob[Alone | Killed]):
    """Run one trial once more and alone, for its time; its model is to be that of the trial as it was scored."""

    trial: int


@dataclass(frozen=True)
class UnlearnWeights(_MethodJob[Arrays]):
    """Unlearn a chunk of trials for their weights {name: [M, ...]}, which nobody evaluates."""

    trials: tuple[int, ...]
