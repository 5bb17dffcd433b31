"""Metrics that compare two sets of models: how certain they are, what they get on strangers, and whether they see anything."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from bench.metrics.metric import CONTROLS, Baseline, Estimate, Estimates, Evidence, Findings, Metric, Models, controls
from bench.metrics.resampling import LEVEL, Sample, Values, example_deviations, jackknife

SELF_TESTED = 8  # retrained models that take the original's place


class TwoSample(Metric):
    """A metric that compares the confidences of two sets of models; retrained models get what one half gets against the other.

    The same is computed on people whom nobody asked to forget, as point values: what shows there, too, is no forgetting.
    """

    matched: ClassVar[bool] = False  # whether the value of equal sides depends on N: then runs are compared by halves, too
    quantile: ClassVar[bool] = False  # of examples, which a jackknife over models does not move as much as chance does

    @abstractmethod
    def compare(self, unlearned: Sample, retrained: Sample) -> Values:
        """Every quantity of two sides: `confidence` [N, E] and [N', E] of the same forget examples, and halves to hold out."""

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """Halves of the retrained models against each other; copies of the original model against all."""
        single = self._value(_copies(original, 0, len(retrained)), retrained, "forget")
        return Baseline(
            retrained=self._estimated(self._both_ways, *Sample.draw(retrained.confidence).halved()),
            original={name: Estimate(value) for name, value in single.items()},
            controls={
                split: self._both_ways(*Sample.draw(retrained.confidence_on(split)).halved()) for split in controls(retrained)
            },
            sees=self._sees(retrained, original) if any(quantity.attack for quantity in self.quantities) else {},
        )

    def score(self, evidence: Evidence) -> Findings:
        """Unlearned against retrained models."""
        statistic, sides = self._arranged(evidence.unlearned, evidence.retrained, "forget")
        splits = controls(evidence.retrained)
        return Findings(
            self._estimated(statistic, *sides),
            controls={split: self._value(evidence.unlearned, evidence.retrained, split) for split in splits},
        )

    def _arranged(self, unlearned: Models, retrained: Models, split: str) -> tuple[Callable[..., Values], Sequence[Sample]]:
        """How sides are compared, and what is."""
        sides = [Sample.draw(models.confidence_on(split)) for models in (unlearned, retrained)]
        return (self._by_halves, [*sides[0].halved(), *sides[1].halved()]) if self.matched else (self.compare, sides)

    def _value(self, unlearned: Models, retrained: Models, split: str) -> Values:
        statistic, sides = self._arranged(unlearned, retrained, split)
        return statistic(*sides)

    def _sees(self, retrained: Models, original: Models) -> Mapping[str, bool]:
        """Whether the original is told on forget, beyond strangers, more than retrained models in its place are.

        A point among clouds is told on any split, which says nothing about members of the training set.
        """
        strangers = next((split for split in CONTROLS if retrained.labels[split].size), "test")
        places = range(min(SELF_TESTED, len(retrained)))
        found = []
        for place in (None, *places):
            others = retrained.select([index for index in range(len(retrained)) if index != (place or 0)])
            copies = _copies(original, 0, len(others)) if place is None else _copies(retrained, place, len(others))
            forget, unseen = (self._value(copies, others, split) for split in ("forget", strangers))
            found.append({name: forget[name] - unseen[name] for name in forget if name in unseen})
        return {name: stands_out(value, [each[name] for each in found[1:]]) for name, value in found[0].items()}

    def _estimated(self, statistic: Callable[..., Values], *sides: Sample) -> Estimates:
        found = jackknife(statistic, *sides)
        more = example_deviations(statistic, *sides) if self.quantile else {}
        return {name: Estimate(value, math.hypot(sd, more.get(name, 0.0))) for name, (value, sd) in found.items()}

    def _by_halves(self, one: Sample, other: Sample, *retrained: Sample) -> Values:
        return _averaged([self.compare(ours, theirs) for ours in (one, other) for theirs in retrained])

    def _both_ways(self, one: Sample, other: Sample) -> Values:
        return _averaged([self.compare(one, other), self.compare(other, one)])


def stands_out(value: float, usual: Sequence[float]) -> bool:
    """Whether a value is not one more of those drawn from a normal distribution: its 95 % prediction interval.

    >>> stands_out(3.0, [0.9, 1.0, 1.1]), stands_out(1.2, [0.9, 1.0, 1.1])
    (True, False)
    """
    from scipy.stats import t

    spread = float(np.std(usual, ddof=1)) * math.sqrt(1 + 1 / len(usual))
    return abs(value - float(np.mean(usual))) > float(t.ppf(1 - LEVEL / 2, len(usual) - 1)) * spread


def _copies(models: Models, chosen: int, count: int) -> Models:
    return models.select([chosen] * count)


def _averaged(parts: Sequence[Values]) -> Values:
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
