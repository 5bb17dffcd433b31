"""What a metric is: what it sees of a run, what it answers, and how one of single models is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.metrics.confidence import cross_entropy, logit_scaled_confidence
from bench.metrics.quantity import Quantity as Quantity  # noqa: PLC0414 - users import it from here
from bench.metrics.quantity import check_quantity
from bench.metrics.resampling import Values
from bench.metrics.timing import Timing as Timing  # noqa: PLC0414 - likewise
from bench.outputs import Floats, Outputs


@dataclass(frozen=True)
class Estimate:
    """A value, and its standard deviation over models; None: not known."""

    value: float
    sd: float | None = None


Estimates = Mapping[str, Estimate]
CONTROLS = ("unseen", "test", "retain_sample")  # splits of people whom nobody asked to forget
Controls = Mapping[str, Values]  # by split


@dataclass(frozen=True)
class Baseline:
    """What a metric says of the retrained models themselves and of the original model: once per reference and N."""

    retrained: Estimates = field(default_factory=dict)
    original: Estimates = field(default_factory=dict)
    details: Mapping[str, Sequence[float | None]] = field(default_factory=dict)  # shown with every run
    controls: Controls = field(default_factory=dict)  # what retrained models get on splits that are not forgotten
    sees: Mapping[str, bool] = field(default_factory=dict)  # self-tests of attacks, where original and retrained do not tell


@dataclass(frozen=True)
class Findings:
    """What a metric says of a run."""

    estimates: Estimates = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)  # flag -> what was seen
    details: Mapping[str, Sequence[float | None]] = field(default_factory=dict)  # values per example or per resample
    notes: Sequence[str] = ()  # how numbers came about where that was not as usual, or why there is none
    controls: Controls = field(default_factory=dict)  # the same quantities on splits that are not forgotten


@dataclass(frozen=True)
class Models:
    """Answers of M models on the splits, and what follows from them."""

    outputs: Outputs
    labels: Mapping[str, NDArray[np.int64]]
    people: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)  # of splits whose people the task knows; -1: unknown

    def __len__(self) -> int:
        return len(self.outputs)

    def select(self, rows: Sequence[int]) -> Models:
        """Some of the models."""
        return replace(self, outputs=self.outputs.select(rows))

    @property
    def confidence(self) -> Floats:
        """Logit-scaled confidence of every forget example [M, E]."""
        return self.confidence_on("forget")

    def confidence_on(self, split: str) -> Floats:
        """Logit-scaled confidence of every example of a split [M, n]."""
        if split not in self._confidences:
            found = logit_scaled_confidence(self.outputs.logits[split], self.labels[split])
            found.flags.writeable = False  # all metrics get this array
            self._confidences[split] = found
        return self._confidences[split]

    @cached_property
    def _confidences(self) -> dict[str, Floats]:
        return {}

    def loss(self, split: str, models: int | None = None) -> Floats:
        """Cross-entropy of every example of a split under the first `models` models, [M, n]."""
        return cross_entropy(self.outputs.logits[split][:models], self.labels[split])

    def predictions(self, split: str) -> NDArray[np.int64]:
        """The class that each model predicts for every example of a split [M, n]."""
        found: NDArray[np.int64] = self.outputs.logits[split].argmax(axis=-1)
        return found

    def accuracy(self, split: str) -> Floats:
        """Share of a split that each model predicts right [M]."""
        shares: Floats = (self.predictions(split) == self.labels[split]).mean(axis=-1)
        return shares


@dataclass(frozen=True)
class Again:
    """Trials that ran once more, alone, to be timed."""

    trials: Sequence[int]
    outputs: Outputs  # that they came to
    seconds: Sequence[float]  # that each took alone
    scored_seconds: Sequence[float]  # and when it was scored: of a stack its part
    on_cpu: bool
    stackable: bool

    @property
    def exact(self) -> bool:
        """Whether nothing may differ but what the trial's seeds decide."""
        return self.on_cpu and not self.stackable


@dataclass(frozen=True)
class Evidence:
    """What a metric sees of a run: N unlearned models, N retrained ones, the original one, and how long trials took."""

    unlearned: Models
    retrained: Models
    timing: Timing
    again: Again | None = None  # None: no trial ran twice
    original: Models | None = None  # the one original model; None: only where somebody makes evidence without


class Metric(ABC):
    """A metric. Its docstring is its definition, the first line in brief.

    Values are finite; a quantity that does not apply to a run is left out of the findings.
    """

    quantities: ClassVar[tuple[Quantity, ...]] = ()
    source: ClassVar[str]
    pitfalls: ClassVar[str]
    version: ClassVar[int] = 1  # raised whenever values change: scorecards with an older version are computed again
    quick: ClassVar[bool] = False  # belongs to the first table, which users wait for

    further: ClassVar[int] = 0  # sets of N further retrained models that `ceiling` is asked about, if a reference has them

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """What the N retrained models themselves get, and the one original model."""
        return Baseline()

    def ceiling(self, retrained: Models, further: Sequence[Models]) -> Baseline:
        """Estimates and details of what sets of N further retrained models get, which are put over those of `baseline`."""
        return Baseline()

    @abstractmethod
    def score(self, evidence: Evidence) -> Findings:
        """What N unlearned models get."""


def check_metric(metric: Metric) -> None:
    """Refuse a metric whose description is not what it should be.

    Raises:
        TypeError: quantities, source, pitfalls or version are missing or of another kind.
        ValueError: a quantity cannot be shown as it says.
    """
    if not all(isinstance(quantity, Quantity) for quantity in metric.quantities):
        raise TypeError("quantities must be a tuple of Quantity")
    for quantity in metric.quantities:
        check_quantity(quantity)
        if quantity.table == "results" and not metric.quick:
            raise ValueError(f"{quantity.name} is a column of results, which users wait for: its metric must be quick")
    if not all(isinstance(getattr(metric, name, None), str) for name in ("source", "pitfalls")):
        raise TypeError("source and pitfalls must be text")
    for name in ("version", "further"):
        if type(getattr(metric, name)) is not int or getattr(metric, name) < 0:  # True is one, too
            raise TypeError(f"{name} must be a whole number")


class PerModel(Metric):
    """A metric with one value per model; its mean is reported, with the standard error."""

    @abstractmethod
    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """Every quantity [M] of M models; `models is retrained` where the retrained models themselves are measured."""

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """The retrained models' mean; the original model's value, as uncertain as that of one retrained model."""
        found = self.values(retrained, retrained)
        single = self.values(original, retrained)
        return Baseline(
            retrained=_means(found),
            original={name: Estimate(float(value[0]), float(found[name].std(ddof=1))) for name, value in single.items()},
        )

    def score(self, evidence: Evidence) -> Findings:
        """The mean over unlearned models."""
        return Findings(_means(self.values(evidence.unlearned, evidence.retrained)))


def controls(models: Models) -> list[str]:
    """Splits that nobody asked to forget, of those that the task has."""
    return [split for split in CONTROLS if models.labels[split].size]


def _means(values: Mapping[str, Floats]) -> Estimates:
    return {name: Estimate(float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))) for name, each in values.items()}
