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
from bench.metrics.contrast import Side
from bench.metrics.distinguishability import exchanged_distances, p_value
from bench.metrics.excess_epsilon import ExcessEpsilon
from bench.metrics.flags import Flags
from bench.metrics.memory_left import Grounds, Memory, memory_left
from bench.metrics.memory_order import p_values
from bench.metrics.metric import Evidence, Models
from bench.outputs import Floats
from bench.scoring.calibration import UNTIMED
from bench.scoring.ceilings import ABOVE, ABOVE_CEILING
from bench.scoring.constructions import (
    CHOSEN,
    DIFFERENCES,
    Change,
    Fresh,
    copied,
    levels_in_turn,
    on_two_levels,
    shifted,
    strangers_of,
)
from bench.scoring.gates import VOIDING
from bench.store.references import Reference
from bench.store.shipped import FOLDER

TASK, SHIPPED = "age-synthetic", 128
FURTHER = Challenge.further
HONEST = {8: 6000, 16: 3000, 64: 1000, 512: 1000}  # rows
CAUGHT = {8: 30, 16: 30, 64: 10, 512: 3}
SPREADS, SHIFTS = (0.25, 0.6), (0.0, 2.0)  # of shipped methods at their defaults and smaller rates, in retrained deviations
FEW = 4  # rows of those that remember
BEFORE = {"retrained models": (1.0, 0.0), "half of the memory": (0.4, 1.0)}  # spread and shift of rows that are changed
TOLD, LESS = 0.01, 0.05  # p-values: of a row that differs from retrained models, of two rows that have not equally much left


def noisy_levels(noise: float) -> Change:
    """Two levels, with noise of a share of the retrained models' spread, whatever the row's own is."""

    def chosen(fresh: Fresh, reference: Floats) -> Floats:
        own = fresh.forget - fresh.forget.mean(axis=0)
        spread = reference.std(axis=0) / own.std(axis=0)
        return np.asarray(on_two_levels(0.4, 0.65)(fresh, reference) + noise * spread * own)

    return chosen


def lowered(fresh: Fresh, reference: Floats) -> Floats:
    """Everybody lower by as much as all are too high on average: nothing is left, on average."""
    spread = reference.std(axis=0)
    beyond = (fresh.forget.mean(axis=0) - reference.mean(axis=0)) / spread
    return np.asarray(fresh.forget - beyond.mean() * spread)


CHANGES: Mapping[str, Change] = {
    **{name: change for name, change in CHOSEN.items() if name != "gaming"},  # flags' own tests have that
    "40 and 65 %, noise .1": noisy_levels(0.1),
    "40 and 65 %, noise .3": noisy_levels(0.3),
    "quartiles in turn": levels_in_turn,
    "copied, noise .3": copied(0.3),
    "double width": DIFFERENCES["double width"],
    "half width": DIFFERENCES["half width"],
    "lowered": lowered,
}


class World:
    """The embedded task's retrained models as a distribution: means, spreads and what models have in common, per example."""

    def __init__(self, models: Models, original: Models) -> None:
        self._models = models
        self._grounds = Grounds.of(models)
        self.original, self._original = original, self._grounds.side(original)
        confidence = np.concatenate([models.confidence, models.confidence_on("unseen")], axis=1)
        self._mean, self._spread = confidence.mean(axis=0), confidence.std(axis=0, ddof=1)
        centred = (confidence - self._mean) / self._spread
        self._directions = centred / np.sqrt(len(centred))  # sums of these have the models' own correlations
        people = models.people["forget"]
        self._people = np.searchsorted(np.unique(people), people)

    def row(self, models: int, generator: np.random.Generator, spread: float = 1.0, shift: float = 0.0) -> Side:
        """Fresh models: normal, with three quarters of the real ones' correlations; the rest is each model's own."""
        count, forgotten = len(self._directions), len(self._people)
        common = generator.normal(size=(models, count)) @ self._directions
        own = generator.normal(size=(models, len(self._mean)))
        values = spread * (np.sqrt(0.75) * common + 0.5 * own)
        values[:, :forgotten] += shift * (1 + 0.4 * generator.normal(size=self._people.max() + 1))[self._people]
        values = self._mean + self._spread * values
        return Side(values[:, :forgotten], values[:, forgotten:])

    def faced(self, models: int, generator: np.random.Generator) -> Faced:
        """Fresh retrained models, and as many sets of further ones as the shipped reference has of them; at least one."""
        sets = min(max(SHIPPED // models - 1, 1), FURTHER)
        return Faced.by(self, self.row(models, generator), [self.row(models, generator) for _ in range(sets)])

    def models(self, row: Side) -> Models:
        """Models with these confidences on forget and unseen; other splits are those of real models."""
        picked = self._models.select((np.arange(len(row.forget)) % len(self._models)).tolist())
        logits = dict(picked.outputs.logits)
        for split, values in (("forget", row.forget), ("unseen", row.unseen)):
            classes = logits[split].shape[2]
            logits[split] = np.zeros((*values.shape, classes), np.float32)
            logits[split][:, np.arange(values.shape[1]), self._models.labels[split]] = values + math.log(classes - 1)
        return replace(picked, outputs=replace(picked.outputs, logits=logits))

    def left(self, row: Side, retrained: Side) -> Memory:
        """How much memory a row has left."""
        found = memory_left(row, self._original, replace(self._grounds.yardstick, retrained=retrained))
        if found is None:
            raise ValueError("the original model remembers nothing")
        return found

    def changed(self, row: Side, change: Change, retrained: Side) -> Side:
        """A row whose confidences on forget were chosen."""
        labels = self._grounds.yardstick.forgotten.labels
        strangers = row.unseen[:, strangers_of(labels, self._grounds.yardstick.strangers.labels)]
        fresh = Fresh(row.forget, strangers, labels, row.forget.mean(axis=0))
        return replace(row, forget=change(fresh, retrained.forget))


def shipped() -> tuple[Models, Models]:
    """The retrained models that come with the package, and the original one."""
    reference = Reference(FOLDER / TASK)
    labels, people = reference.labels(), reference.identities()
    return Models(reference.retrained(range(SHIPPED)), labels, people), Models(reference.original(), labels, people)


@dataclass(frozen=True)
class Faced:
    """Retrained models that rows are compared with, and what sets of further ones score."""

    world: World
    retrained: Side
    ceiling: float
    deviation: float  # of the difference of one more set

    @classmethod
    def by(cls, world: World, retrained: Side, further: Sequence[Side]) -> Faced:
        """As the challenge's metric has it, with the finer search for thresholds; without further ones nobody is above."""
        if not further:
            return cls(world, retrained, math.inf, 0.0)
        scores = [approximate_score(each.forget, retrained.forget, len(retrained.forget)) for each in further]
        spread = deviation(further[0].forget, retrained.forget)
        return cls(world, retrained, float(np.mean(scores)), spread * math.sqrt(1 + 1 / len(further)))

    def raised(self, row: Side) -> list[str]:
        """What takes a row off the ranking."""
        evidence = Evidence(self.world.models(row), self.world.models(self.retrained), UNTIMED)
        flags = [flag for flag in Flags().score(evidence).flags if flag in VOIDING]
        score = approximate_score(row.forget, self.retrained.forget, len(row.forget))
        return [*flags, *([ABOVE_CEILING] if score - self.ceiling > ABOVE * self.deviation else [])]

    def told(self, forget: Floats) -> bool:
        """Whether the permutation test tells a row from retrained models."""
        return p_value(exchanged_distances(forget, self.retrained.forget)) < TOLD

    def less_left(self, changed: Side, before: Side) -> bool:
        """Whether a change leaves less memory, and the comparison of two runs says so."""
        found = [self.world.left(each, self.retrained) for each in (changed, before)]
        values = [each.left for each in found]
        differ = p_values(values, [each.parts for each in found])[0, 1] < LESS
        return bool(differ and abs(values[0]) < abs(values[1]))


def real(world: World, models: Models, count: int, rows: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Real retrained models against others."""
    sets = min(SHIPPED // count, 2 + FURTHER)
    for _ in range(rows):
        drawn = generator.permutation(SHIPPED)[: sets * count].reshape(sets, count)
        sides = [models.select(each.tolist()) for each in drawn]
        row, retrained, *further = (Side(each.confidence, each.confidence_on("unseen")) for each in sides)
        yield Faced.by(world, retrained, further).raised(row)


def drawn(world: World, count: int, rows: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Fresh rows, half of them as retrained, half with the spreads and shifts of shipped methods."""
    faced = world.faced(count, generator)
    for index in range(rows):
        if index % 20 == 0:
            faced = world.faced(count, generator)
        spread, shift = (1.0, 0.0) if index % 2 else (generator.uniform(*SPREADS), generator.uniform(*SHIFTS))
        yield faced.raised(world.row(count, generator, spread, shift))


@dataclass(frozen=True)
class Caught:
    """How rows whose confidences were chosen fare."""

    void: Sequence[list[str]]
    told: int
    less_left: int

    def __str__(self) -> str:
        return f"{counted(self.void)}; told {self.told}, less left {self.less_left}"


def caught(world: World, change: Change, before: tuple[float, float], count: int, generator: np.random.Generator) -> Caught:
    """Rows of `before` with confidences that were chosen."""
    void, told, less = [], 0, 0
    for _ in range(CAUGHT[count]):
        faced, row = world.faced(count, generator), world.row(count, generator, *before)
        changed = world.changed(row, change, faced.retrained)
        void.append(faced.raised(changed))
        told += faced.told(changed.forget)
        less += faced.less_left(changed, row)
    return Caught(void, told, less)


def counted(rows: Sequence[list[str]]) -> str:
    """How many rows raised any flag, and which."""
    flags = Counter(flag for each in rows for flag in each)
    seen = ", ".join(f"{flag} {times}" for flag, times in flags.most_common())
    return f"{sum(map(bool, rows))} of {len(rows)}{f' ({seen})' if seen else ''}"


def honest(world: World, models: Models, count: int) -> None:
    """Print how many honest rows raise a flag."""
    print(f"N = {count}", flush=True)
    if 2 * count <= SHIPPED:
        rows = real(world, models, count, HONEST[count] // 3, np.random.default_rng([count, 0]))
        print("  real retrained models:", counted(list(rows)), flush=True)
    print(
        "  drawn honest rows:", counted(list(drawn(world, count, HONEST[count], np.random.default_rng([count, 1])))), flush=True
    )


def chosen(world: World, count: int) -> None:
    """Print how many rows that were chosen raise one."""
    for whose, before in BEFORE.items():
        for name, change in CHANGES.items():
            found = caught(world, change, before, count, np.random.default_rng([count, 2]))
            print(f"  {name}, of {whose}: {found}", flush=True)


def remembering(world: World, count: int) -> None:
    """Print what memory left and excess epsilon say of rows that remember, with confidences that were chosen."""
    for shift in (1.0, 2.0):
        for name in ("as it is", "lowered", "strangers"):
            generator, found = np.random.default_rng([count, 3]), []
            for _ in range(FEW):
                retrained, row = world.row(count, generator), world.row(count, generator, BEFORE["half of the memory"][0], shift)
                changed = world.changed(row, CHANGES.get(name, shifted(0.0)), retrained)
                evidence = Evidence(world.models(changed), world.models(retrained), UNTIMED, original=world.original)
                excess = ExcessEpsilon().score(evidence).estimates["excess_epsilon"].value
                found.append([world.left(changed, retrained).left, excess])
            left, excess = np.mean(found, axis=0)
            print(f"  memory of {shift:.0f} sd, {name}: {left:.2f} left, excess epsilon {excess:.2f}", flush=True)


def main(counts: Sequence[int]) -> None:
    """Print a line for every kind of row."""
    models, original = shipped()
    world = World(models, original)
    for count in counts:
        honest(world, models, count)
        chosen(world, count)
        remembering(world, count)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or list(HONEST))
