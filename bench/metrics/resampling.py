"""Which models are drawn, left out or split: fixed by their number, so that runs with as many models share every draw."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.seeds import numpy_generator

BOOTSTRAPS = 200
EXAMPLE_BOOTSTRAPS = 50
GROUPS = 20
SPLITS = 4  # random halvings that held-out metrics average over
MOST_BOOTSTRAPPED = 64  # above this many models, a jackknife: a bootstrap would take too long
Z = 1.959964  # 95 % of a normal distribution, two-sided

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Values = Mapping[str, float]


@dataclass(frozen=True)
class Resamples:
    """Draws of models from either side, and what turns the variance of their results into that of the statistic."""

    rows: Sequence[tuple[Rows, Rows]]
    factor: float


def resamples(models: int) -> Resamples:
    """200 bootstraps of N <= 64 models, a delete-a-group jackknife of 20 groups above; rows of both sides, drawn apart.

    >>> plan = resamples(16)
    >>> len(plan.rows), plan.rows[0][0].shape
    (200, (16,))
    >>> len(resamples(128).rows)
    20
    """
    if models > MOST_BOOTSTRAPPED:
        kept = without_groups(models)
        return Resamples([(rows, rows) for rows in kept], len(kept) - 1.0)
    generator = numpy_generator(0, "metric", 2)
    rows = [(generator.integers(models, size=models), generator.integers(models, size=models)) for _ in range(BOOTSTRAPS)]
    return Resamples(rows, BOOTSTRAPS / (BOOTSTRAPS - 1.0))


def without_groups(models: int, groups: int = GROUPS) -> list[Rows]:
    """The models that are left when each of 20 groups (of one model each, if there are fewer) is left out in turn."""
    everyone = np.arange(models)
    return [np.delete(everyone, group) for group in np.array_split(everyone, min(groups, models))]


def deviation(replicates: ArrayLike, factor: float) -> float:
    """Standard deviation of a statistic from its values on the resamples.

    >>> deviation([1.0, 2.0, 3.0], factor=3 / (3 - 1))
    1.0
    """
    return math.sqrt(factor * float(np.var(np.asarray(replicates, dtype=np.float64))))


Side = TypeVar("Side", Floats, "Sample")


def jackknife(statistic: Callable[..., Values], *sides: Side) -> dict[str, tuple[float, float]]:
    """Values of a statistic of models [N, ...], each with its standard deviation.

    A group of models is left out of every side at a time: the variance is right for sides that are independent of each other.

    >>> sample = np.random.default_rng(0).normal(size=(20, 1))
    >>> mean, deviation = jackknife(lambda side: {"mean": side.mean()}, sample)["mean"]
    >>> bool(np.isclose(deviation, sample.std(ddof=1) / np.sqrt(20)))
    True
    """
    value = statistic(*sides)
    groups = min(GROUPS, *map(len, sides))
    kept = zip(*(without_groups(len(side), groups) for side in sides), strict=True)
    replicates = [statistic(*(side[rows] for side, rows in zip(sides, left, strict=True))) for left in kept]
    everywhere = [name for name in value if all(name in each for each in replicates)]  # small samples may lack a quantity
    return {name: (float(value[name]), deviation([each[name] for each in replicates], groups - 1.0)) for name in everywhere}


def example_deviations(statistic: Callable[..., Values], *sides: Sample) -> dict[str, float]:
    """Standard deviations of a statistic over 50 bootstraps of the examples, the same ones for every side."""
    generator, examples = numpy_generator(0, "metric", 102), sides[0].confidence.shape[1]
    draws = generator.integers(examples, size=(EXAMPLE_BOOTSTRAPS, examples))
    replicates = [statistic(*(side.of_examples(chosen) for side in sides)) for chosen in draws]
    return {name: float(np.std([each[name] for each in replicates], ddof=1)) for name in replicates[0]}


def seed_of_values(values: Floats) -> int:
    """A seed from numbers, whatever their order: a draw of ranks that is the same for all data would repeat one error."""
    return zlib.crc32(np.sort(values).round(6).tobytes())  # rounded: another processor may differ in the last bits


def ranked_models(confidence: Floats) -> Rows:
    """Models [N, E] in the order of their confidences, whatever the order of models and examples was."""
    return np.argsort(_totals(confidence), kind="stable")


def _totals(confidence: Floats) -> Floats:
    """Sum over examples, which are sorted first: else their order would change the last bits."""
    totals: Floats = np.sort(confidence, axis=1).sum(axis=1)
    return totals


def halves(confidence: Floats, split: int = 0) -> tuple[Rows, Rows]:
    """Two random halves of the models of confidences [N, E]; another `split` gives others.

    Models are ranked by their confidences and the draw is seeded with these, so that neither the order of models nor that of
    examples matters, and halves of two sides are drawn apart. A draw of ranks that is the same for all sides would put the
    same chance differences into both halves.
    """
    ranked = ranked_models(confidence)
    order = ranked[numpy_generator(seed_of_values(_totals(confidence)), "metric", 3 + split).permutation(len(ranked))]
    middle = len(order) // 2
    return order[:middle], order[middle:]


@dataclass(frozen=True)
class Sample:
    """Confidences of models, and random halves of them that stay what they are when models are left out."""

    confidence: Floats  # [N, E]
    first: NDArray[np.bool_]  # [SPLITS, N], the models in the first half of each split

    @classmethod
    def draw(cls, confidence: Floats) -> Sample:
        """All models, with their splits."""
        rows = np.arange(len(confidence))
        return cls(confidence, np.array([np.isin(rows, halves(confidence, split)[0]) for split in range(SPLITS)]))

    def __len__(self) -> int:
        return len(self.confidence)

    def __getitem__(self, rows: Rows) -> Sample:
        return Sample(self.confidence[rows], self.first[:, rows])

    def of_examples(self, chosen: Rows) -> Sample:
        """The same models and splits, other examples."""
        return Sample(self.confidence[:, chosen], self.first)

    def half(self, split: int, *, first: bool) -> Floats:
        """Confidences of the models in one half of a split."""
        chosen: Floats = self.confidence[self.first[split] == first]
        return chosen

    def halved(self) -> tuple[Sample, Sample]:
        """Two random halves of one size, as samples with splits of their own."""
        one, other = halves(self.confidence)
        return Sample.draw(self.confidence[one]), Sample.draw(self.confidence[other[: len(one)]])


def interval(value: float, sd: float) -> tuple[float, float]:
    """95 % interval by the normal approximation."""
    return value - Z * sd, value + Z * sd
