"""Which models are drawn, left out or split: fixed by their number, so that runs with as many models share every draw."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.outputs import Floats, Integers
from bench.seeds import numpy_generator

BOOTSTRAPS = 200
FEWER_BOOTSTRAPS = 100  # of many models, where each takes long
EXAMPLE_BOOTSTRAPS = 50
GROUPS = 20
SPLITS = 4  # random halvings that held-out metrics average over
FEW_MODELS = 64  # up to here 200 bootstraps
Z = 1.959964  # 95 % of a normal distribution, two-sided
LEVEL = 0.05  # of tests

Values = Mapping[str, float]


def resamples(models: int) -> list[tuple[Integers, Integers]]:
    """Bootstraps, 200 of N <= 64 models and 100 of more; rows of both sides, drawn apart.

    >>> plan = resamples(16)
    >>> len(plan), plan[0][0].shape
    (200, (16,))
    """
    generator, count = numpy_generator(0, "metric", 2), BOOTSTRAPS if models <= FEW_MODELS else FEWER_BOOTSTRAPS
    return [(generator.integers(models, size=models), generator.integers(models, size=models)) for _ in range(count)]


def without_groups(models: int, groups: int = GROUPS) -> list[Integers]:
    """The models that are left when each of 20 groups (of one model each, if there are fewer) is left out in turn."""
    everyone = np.arange(models)
    return [np.delete(everyone, group) for group in np.array_split(everyone, min(groups, models))]


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
    variances = {name: (groups - 1) * float(np.var([each[name] for each in replicates])) for name in everywhere}
    return {name: (float(value[name]), math.sqrt(variances[name])) for name in everywhere}


def example_deviations(statistic: Callable[..., Values], *sides: Sample) -> dict[str, float]:
    """Standard deviations of a statistic over 50 bootstraps of the examples, the same ones for every side."""
    generator, examples = numpy_generator(0, "metric", 102), sides[0].confidence.shape[1]
    draws = generator.integers(examples, size=(EXAMPLE_BOOTSTRAPS, examples))
    replicates = [statistic(*(side.of_examples(chosen) for side in sides)) for chosen in draws]
    return {name: float(np.std([each[name] for each in replicates], ddof=1)) for name in replicates[0]}


def seed_of_values(values: Floats) -> int:
    """A seed from numbers, whatever their order: a draw of ranks that is the same for all data would repeat one error."""
    return zlib.crc32(np.sort(values).round(6).tobytes())  # rounded: another processor may differ in the last bits


def ranked_models(confidence: Floats) -> Integers:
    """Models [N, E] in the order of their confidences, whatever the order of models and examples was."""
    return np.argsort(_totals(confidence), kind="stable")


def _totals(confidence: Floats) -> Floats:
    """Sum over examples, which are sorted first: else their order would change the last bits."""
    totals: Floats = np.sort(confidence, axis=1).sum(axis=1)
    return totals


def halves(confidence: Floats, split: int = 0) -> tuple[Integers, Integers]:
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

    def __getitem__(self, rows: Integers) -> Sample:
        return Sample(self.confidence[rows], self.first[:, rows])

    def of_examples(self, chosen: Integers) -> Sample:
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
