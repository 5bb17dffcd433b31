"""How often honest rows raise a flag that takes a row off the ranking, and which constructions do: for docs/evidence/flags.md.

python docs/evidence/flags/alarms.py [MODELS...]
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.metrics.approximation import approximate_score
from bench.metrics.ceiling import deviation
from bench.metrics.challenge import Challenge
from bench.metrics.flags import Flags
from bench.metrics.metric import Evidence, Models
from bench.outputs import Floats
from bench.scoring.calibration import UNTIMED, Change, copied, on_two_levels
from bench.scoring.ceilings import ABOVE, ABOVE_CEILING
from bench.scoring.gates import VOIDING
from bench.store.references import Reference
from bench.store.shipped import FOLDER

TASK, SHIPPED = "age-synthetic", 128
FURTHER = Challenge.further
HONEST = {8: 6000, 16: 3000, 64: 1000, 512: 30}  # rows
CAUGHT = {8: 30, 16: 30, 64: 10, 512: 3}
SPREADS, SHIFTS = (0.25, 0.6), (0.0, 2.0)  # of shipped methods at their defaults and smaller rates, in retrained deviations


def jittered(noise: float) -> Change:
    """Two levels, with noise of a share of the spread."""

    def chosen(fresh: Floats, reference: Floats) -> Floats:
        levels: Floats = on_two_levels(0.4, 0.65)(fresh, reference)
        return np.asarray(levels + noise * (fresh - fresh.mean(axis=0)))

    return chosen


def widened(factor: float) -> Change:
    """Fresh models with another spread around the retrained mean."""

    def wide(fresh: Floats, reference: Floats) -> Floats:
        mean = reference.mean(axis=0)
        return np.asarray(mean + factor * (fresh - mean))

    return wide


def halfway_to_the_mean(fresh: Floats, reference: Floats) -> Floats:
    """The retrained models themselves in another order, each moved halfway to their mean."""
    mean = reference.mean(axis=0)
    return np.asarray(mean + 0.5 * (copied(0.01)(fresh, reference) - mean))


def mixed(fresh: Floats, reference: Floats) -> Floats:
    """Of every second model the lower, of the others the upper quartile of the retrained ones, per example."""
    low, high = np.percentile(reference, [25, 75], axis=0)
    return np.asarray(np.where(np.arange(len(fresh))[:, None] % 2, low, high) + 0 * fresh)


CONSTRUCTIONS: Mapping[str, Change] = {
    "40 and 65 % quantiles, one 6 above": on_two_levels(0.4, 0.65, away=6.0),
    "35 and 60 %, one 6 below": on_two_levels(0.35, 0.6, away=-6.0),
    "25 and 75 %": on_two_levels(0.25, 0.75),
    "two levels, noise .1": jittered(0.1),
    "two levels, noise .3": jittered(0.3),
    "copies, noise .01": copied(0.01),
    "copies, noise .1": copied(0.1),
    "copies, noise .3": copied(0.3),
    "quartiles in turn": mixed,
    "halfway to the mean": halfway_to_the_mean,
    "spread doubled": widened(2.0),
    "spread halved": widened(0.5),
}


class World:
    """The embedded task's retrained models as a distribution: means, spreads and what models have in common, per example."""

    def __init__(self, models: Models) -> None:
        self._models = models
        confidence = models.confidence
        self.mean, self.spread = confidence.mean(axis=0), confidence.std(axis=0, ddof=1)
        centred = (confidence - self.mean) / self.spread
        self._directions = centred / np.sqrt(len(centred))  # sums of these have the models' own correlations
        people = models.people["forget"]
        self._people = np.searchsorted(np.unique(people), people)

    def row(self, models: int, generator: np.random.Generator, spread: float = 1.0, shift: float = 0.0) -> Models:
        """Fresh models: normal with the correlations of the real ones, half as much of the spread each model's own."""
        count = len(self._directions)
        common = generator.normal(size=(models, count)) @ self._directions
        own = generator.normal(size=(models, len(self.mean)))
        remembered = shift * (1 + 0.4 * generator.normal(size=self._people.max() + 1))[self._people]
        values = self.mean + self.spread * (remembered + spread * (np.sqrt(0.75) * common + 0.5 * own))
        return self.with_confidences(values)

    def faced(self, models: int, generator: np.random.Generator) -> Faced:
        """Fresh retrained models, and as many sets of further ones as the shipped reference has of them; at least one."""
        sets = min(max(SHIPPED // models - 1, 1), FURTHER)
        return Faced.by(self.row(models, generator), [self.row(models, generator) for _ in range(sets)])

    def with_confidences(self, values: Floats) -> Models:
        """Models with these confidences on forget; other splits are those of real models."""
        rows = np.arange(len(values)) % len(self._models)
        picked = self._models.select(rows.tolist())
        logits = np.zeros((*values.shape, 2), np.float32)
        labels = np.zeros(values.shape[1], np.int64)
        logits[..., 0] = values
        outputs = replace(picked.outputs, logits={**picked.outputs.logits, "forget": logits})
        return replace(picked, outputs=outputs, labels={**picked.labels, "forget": labels})


def shipped() -> Models:
    """The retrained models that come with the package."""
    reference = Reference(FOLDER / TASK)
    return Models(reference.retrained(range(SHIPPED)), reference.labels(), reference.identities())


@dataclass(frozen=True)
class Faced:
    """Retrained models that rows are compared with, and what sets of further ones score."""

    retrained: Models
    ceiling: float
    deviation: float  # of the difference of one more set

    @classmethod
    def by(cls, retrained: Models, further: Sequence[Models]) -> Faced:
        """As the challenge's metric has it, with the finer search for thresholds; without further ones nobody is above."""
        if not further:
            return cls(retrained, math.inf, 0.0)
        scores = [approximate_score(each.confidence, retrained.confidence, len(retrained)) for each in further]
        spread = deviation(further[0].confidence, retrained.confidence)
        return cls(retrained, float(np.mean(scores)), spread * math.sqrt(1 + 1 / len(further)))

    def raised(self, unlearned: Models) -> list[str]:
        """What takes a row off the ranking."""
        flags = [flag for flag in Flags().score(Evidence(unlearned, self.retrained, UNTIMED)).flags if flag in VOIDING]
        score = approximate_score(unlearned.confidence, self.retrained.confidence, len(unlearned))
        return [*flags, *([ABOVE_CEILING] if score - self.ceiling > ABOVE * self.deviation else [])]


def real(models: Models, count: int, rows: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Real retrained models against others."""
    sets = min(SHIPPED // count, 2 + FURTHER)
    for _ in range(rows):
        drawn = generator.permutation(SHIPPED)[: sets * count].reshape(sets, count)
        row, retrained, *further = (models.select(each.tolist()) for each in drawn)
        yield Faced.by(retrained, further).raised(row)


def drawn(world: World, count: int, rows: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Fresh rows, half of them as retrained, half with the spreads and shifts of shipped methods."""
    faced = world.faced(count, generator)
    for index in range(rows):
        if index % 20 == 0:
            faced = world.faced(count, generator)
        spread, shift = (1.0, 0.0) if index % 2 else (generator.uniform(*SPREADS), generator.uniform(*SHIFTS))
        yield faced.raised(world.row(count, generator, spread, shift))


def constructed(world: World, change: Change, count: int, rows: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Rows whose confidences were chosen."""
    for _ in range(rows):
        faced, fresh = world.faced(count, generator), world.row(count, generator)
        yield faced.raised(world.with_confidences(change(fresh.confidence, faced.retrained.confidence)))


def told(name: str, rows: Sequence[list[str]]) -> str:
    """A line: how many rows raised any flag, and which."""
    flags = Counter(flag for each in rows for flag in each)
    seen = ", ".join(f"{flag} {times}" for flag, times in flags.most_common())
    return f"  {name}: {sum(map(bool, rows))} of {len(rows)}{f' ({seen})' if seen else ''}"


def main(counts: Sequence[int]) -> None:
    models = shipped()
    world = World(models)
    for count in counts:
        generator = np.random.default_rng(count)
        print(f"N = {count}", flush=True)
        if 2 * count <= SHIPPED:
            print(told("real retrained models", list(real(models, count, HONEST[count] // 3, generator))), flush=True)
        print(told("drawn honest rows", list(drawn(world, count, HONEST[count], generator))), flush=True)
        for name, change in CONSTRUCTIONS.items():
            print(told(name, list(constructed(world, change, count, CAUGHT[count], generator))), flush=True)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or list(HONEST))
