"""Which of several runs has the least memory left, and how sure that is: runs share people, retrained models and the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.contrast import Contrast, Yardstick
from bench.outputs import Floats

SIDES = ("forgotten", "strangers")


@dataclass(frozen=True)
class Parts:
    """What the absolute value of a run's memory left is linear in; for the difference of two runs, subtract their parts."""

    trials: Floats  # [N] a trial's own
    forgotten: Floats  # [people] what each of them adds
    strangers: Floats  # [people]
    noise: Floats  # [2] of forgotten and strangers: how much of their squares is the trials' noise
    retrained: Floats  # [4] slope in retrained models; variance of their mean, and their noise in forgotten and strangers

    NAMES: ClassVar[Mapping[str, str]] = {  # of a scorecard's details
        "trials": "memory_left_by_trial",
        "forgotten": "memory_left_by_forgotten",
        "strangers": "memory_left_by_stranger",
        "noise": "memory_left_noise",
        "retrained": "memory_left_retrained",
    }

    @classmethod
    def of(cls, ours: Contrast, theirs: Contrast, floor: Contrast, against: Yardstick) -> Parts:
        """Of the contrasts of unlearned models, of the one original and of retrained models."""
        remembered = float(theirs.models.mean())
        left = float(ours.models.mean()) / remembered
        sign = -1.0 if left < 0 else 1.0
        roots = [np.sqrt(correction) / remembered for correction in against.corrections]

        def people(split: str, root: float | Floats) -> Floats:
            unlearned, original = (getattr(side, split).mean(axis=0) for side in (ours, theirs))
            return np.asarray(root * (sign * unlearned - abs(left) * original))

        def noise(side: Contrast) -> Floats:
            pairs = zip(SIDES, roots, strict=True)
            return np.array([float((root**2 * getattr(side, split).var(axis=0, ddof=1)).sum()) for split, root in pairs])

        own = sign * ours.models / remembered
        spread = float(floor.models.var(ddof=1)) / len(floor.models) / remembered**2
        shared = np.array([sign - abs(left), spread, *(noise(floor) / len(floor.models))])
        forgotten, strangers = (people(split, root) for split, root in zip(SIDES, roots, strict=True))
        return cls(own, forgotten, strangers, noise(ours) / len(ours.models), shared)

    def details(self) -> Mapping[str, Sequence[float]]:
        """As a scorecard keeps them."""
        return {kept: getattr(self, name).tolist() for name, kept in self.NAMES.items()}

    @classmethod
    def kept(cls, details: Mapping[str, Sequence[float | None]]) -> Self | None:
        """Of a scorecard; None: it has none, or something else under their names."""
        found = [np.array(details.get(name, ()), dtype=np.float64) for name in cls.NAMES.values()]
        *_, noise, retrained = found
        whole = all(each.size and np.isfinite(each).all() for each in found) and (len(noise), len(retrained)) == (2, 4)
        return cls(*found) if whole and len(found[0]) > 1 else None

    @property
    def form(self) -> tuple[int, ...]:
        """Runs of one division have it in common."""
        return len(self.trials), len(self.forgotten), len(self.strangers)


def p_values(values: ArrayLike, parts: Sequence[Parts]) -> Floats:
    """Two-sided p-values [n, n] of the differences of |memory left| of n runs that were compared with the same models.

    The variance is that of memory left itself, of the difference: trials of one index belong together, people, retrained models
    and the original are shared, so what runs have in common cancels. Student's t with Satterthwaite's degrees of freedom.

    Args:
        values: memory left of each run [n].
        parts: what they are linear in.
    """
    from scipy.special import stdtr

    size = np.abs(np.asarray(values, dtype=np.float64))
    gaps = np.abs(size[:, None] - size)
    terms = _terms(parts)
    variance = sum(term for term, _ in terms)
    squares = sum(term**2 / freedom for term, freedom in terms)
    spread = np.sqrt(variance)
    ratio = np.divide(gaps, spread, out=np.where(gaps > 0, np.inf, 0.0), where=spread > 0)
    freedom = np.divide(variance**2, squares, out=np.full_like(gaps, np.inf), where=squares > 0)
    return np.asarray(2 * stdtr(freedom, -ratio))


def _terms(parts: Sequence[Parts]) -> list[tuple[Floats, int]]:
    """Independent parts of the variance of each difference [n, n], and their degrees of freedom.

    Trials of one index may have much in common, in what they are of each person, too: what noise is taken from the people's
    part is as much less as the variance of the trials' differences is less than the sum of both.
    """
    models = len(parts[0].trials)
    own = [each.trials - each.trials.mean() for each in parts]
    trials = _squared_distances(own) / (models - 1) / models
    apart = np.array([each @ each for each in own]) / (models - 1) / models
    apart = apart[:, None] + apart
    paired = np.minimum(np.divide(trials, apart, out=np.ones_like(trials), where=apart > 0), 1.0)
    slopes = _squared_distances([each.retrained[:1] for each in parts])
    _, floor, *floor_noise = parts[0].retrained
    terms = [(trials, models - 1), (slopes * floor, models - 1)]
    noise = np.stack([each.noise for each in parts])
    for place, split in enumerate(SIDES):
        people = [getattr(each, split) for each in parts]
        shared = paired * (noise[:, None, place] + noise[:, place]) + slopes * floor_noise[place]
        terms.append((np.maximum(_squared_distances(people) - shared, 0.0), max(len(people[0]) - 1, 1)))
    return terms


def _squared_distances(rows: Sequence[Floats]) -> Floats:
    """Between every two of them."""
    table = np.stack(rows)
    return np.array([((row - table) ** 2).sum(axis=1) for row in table])
