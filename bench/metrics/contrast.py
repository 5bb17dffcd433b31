"""How much further from retrained models the forgotten are than strangers of their classes, and whose doing that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.outputs import Floats

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """Logit-scaled confidences of some models: of the forgotten [N, E], and of strangers [N, U]."""

    forget: Floats
    unseen: Floats


@dataclass(frozen=True)
class Subjects:
    """Of which class the examples of a split are, and who is on them: [n] each; examples of one unit are resampled together."""

    labels: Ints
    units: Ints

    def select(self, chosen: NDArray[np.bool_]) -> Subjects:
        """Some of the examples."""
        return Subjects(self.labels[chosen], self.units[chosen])


@dataclass(frozen=True)
class Contrast:
    """The difference of mean standardised distances, forgotten less strangers: per model, and what each unit adds to it."""

    models: Floats  # [N]
    forgotten: Floats  # [N, units]; sums to 0
    strangers: Floats  # [N, units]; sums to 0


@dataclass(frozen=True)
class Yardstick:
    """What models are measured against: N' retrained models, which differ on every example, and who the examples are of.

    Strangers are weighted so that their classes are as frequent as among the forgotten. Forgotten examples of classes without
    strangers, and strangers of classes that nobody forgets, count for nothing.
    """

    retrained: Side
    forgotten: Subjects
    strangers: Subjects

    @cached_property
    def matched(self) -> NDArray[np.bool_]:
        """Forgotten examples [E] for which there are strangers."""
        found: NDArray[np.bool_] = np.isin(self.forgotten.labels, self.strangers.labels)
        return found

    @cached_property
    def weights(self) -> Floats:
        """Of the strangers [U]; their sum is 1."""
        average, position = self._classes
        shares = np.bincount(position, minlength=average.shape[1]) / len(position)
        return np.asarray(average @ shares)

    def contrast(self, side: Side) -> Contrast:
        """Protocol 8.1's difference of means, per model."""
        forget = _standardised(side.forget, self.retrained.forget)[:, self.matched]
        unseen = _standardised(side.unseen, self.retrained.unseen)
        average, position = self._classes
        means = unseen @ average  # [N, classes]
        beyond = forget - means[:, position]
        ours = (beyond - beyond.mean(axis=1, keepdims=True)) / len(position)
        theirs = (unseen - means @ (average > 0).T) * -self.weights
        return Contrast(
            beyond.mean(axis=1),
            _sums(self.forgotten.units[self.matched], ours),
            _sums(self.strangers.units, theirs),
        )

    @cached_property
    def corrections(self) -> tuple[float, Floats]:
        """Bessel's, n / (n - 1): of the n forgotten units, and for each stranger's unit, which is one of n of its class."""
        forgotten = len(np.unique(self.forgotten.units[self.matched]))
        _, first = np.unique(self.strangers.units, return_index=True)
        labels = self.strangers.labels[first]
        alike = (labels[:, None] == labels).sum(axis=1)
        return forgotten / max(forgotten - 1, 1), alike / np.maximum(alike - 1, 1)

    @cached_property
    def _classes(self) -> tuple[Floats, Ints]:
        """What makes means of strangers by class [U, classes], and the class of each matched forgotten example."""
        classes = np.intersect1d(self.forgotten.labels, self.strangers.labels)
        member = (self.strangers.labels[:, None] == classes).astype(np.float64)
        return member / member.sum(axis=0), np.searchsorted(classes, self.forgotten.labels[self.matched])


@dataclass(frozen=True)
class Linear:
    """A sum of contrasts times factors, made of independent parts: models of each side, and units, which all sides share.

    Noise is how much a unit's part varies over the models, which is in both: `variance` counts it once (Owen 2007, The pigeonhole
    bootstrap, Annals of Applied Statistics 1: what resampling models and people jointly counts twice).
    """

    spreads: tuple[tuple[float, int], ...]  # variance of the mean over each side's models, and its degrees of freedom
    forgotten: Floats  # [units] mean over models
    strangers: Floats
    forgotten_noise: Floats  # [units] variance of that mean over models
    strangers_noise: Floats

    @classmethod
    def combined(cls, sides: Sequence[tuple[Contrast, float]]) -> Linear:
        """Contrasts with their factors. A side of one model is given, not sampled."""
        sampled = [(side, factor**2 / len(side.models)) for side, factor in sides if len(side.models) > 1]

        def parts(split: str) -> Floats:
            return np.asarray(sum(factor * getattr(side, split).mean(axis=0) for side, factor in sides))

        def noise(split: str) -> Floats:
            return np.asarray(sum(factor * getattr(side, split).var(axis=0, ddof=1) for side, factor in sampled))

        return cls(
            tuple((factor * float(side.models.var(ddof=1)), len(side.models) - 1) for side, factor in sampled),
            parts("forgotten"),
            parts("strangers"),
            noise("forgotten"),
            noise("strangers"),
        )

    def variance(self, corrections: tuple[float, Floats]) -> tuple[float, float]:
        """Variance, and its degrees of freedom (Satterthwaite 1946); infinite ones if there is no variance."""
        terms = list(self.spreads)
        for split, correction in zip(("forgotten", "strangers"), corrections, strict=True):
            part = getattr(self, split)
            between = float((correction * (part**2 - getattr(self, f"{split}_noise"))).sum())
            terms.append((max(between, 0.0), max(len(part) - 1, 1)))
        total = sum(variance for variance, _ in terms)
        squares = sum(variance**2 / freedom for variance, freedom in terms)
        return total, total**2 / squares if squares > 0 else np.inf


def _standardised(values: Floats, retrained: Floats) -> Floats:
    return np.asarray((values - retrained.mean(axis=0)) / retrained.std(axis=0, ddof=1))


def _sums(units: Ints, values: Floats) -> Floats:
    """Sums over the examples of each unit: [N, examples] to [N, units]."""
    return np.asarray(values @ (units[:, None] == np.unique(units)).astype(np.float64))
