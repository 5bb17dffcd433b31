"""How often honest rows raise a flag that takes a row off the ranking, and which constructions do: for docs/evidence/flags.md.

python docs/evidence/flags/alarms.py [MODELS...]
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.metrics.flags import Flags
from bench.metrics.metric import Evidence, Models
from bench.outputs import Floats
from bench.scoring.calibration import UNTIMED, Change, copied, on_two_levels
from bench.scoring.gates import VOIDING
from bench.store.references import Reference
from bench.store.shipped import FOLDER

TASK, SHIPPED = "age-synthetic", 128
HONEST = {8: 6000, 16: 3000, 64: 1000, 512: 30}  # rows
CAUGHT = {8: 30, 16: 30, 64: 10, 512: 3}
SPREADS, SHIFTS = (0.25, 0.6), (0.0, 2.0)  # of shipped methods at their defaults and smaller rates, in retrained deviations


def jittered(noise: float) -> Change:
    """Two levels, with noise of a share of the spread."""

    def chosen(fresh: Floats, reference: Floats) -> Floats:
        levels: Floats = on_two_levels(0.4, 0.65)(fresh, reference)
        return np.asarray(levels + noise * (fresh - fresh.mean(axis=0)))

    return chosen


CONSTRUCTIONS: Mapping[str, Change] = {
    "40 and 65 % quantiles, one 6 above": on_two_levels(0.4, 0.65, away=6.0),
    "35 and 60 %, one 6 below": on_two_levels(0.35, 0.6, away=-6.0),
    "25 and 75 %": on_two_levels(0.25, 0.75),
    "two levels, noise .1": jittered(0.1),
    "two levels, noise .3": jittered(0.3),
    "copies, noise .01": copied(0.01),
    "copies, noise .1": copied(0.1),
    "copies, noise .3": copied(0.3),
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


def raised(unlearned: Models, retrained: Models) -> list[str]:
    """Flags of a row that take it off the ranking."""
    return [flag for flag in Flags().score(Evidence(unlearned, retrained, UNTIMED)).flags if flag in VOIDING]


def real(models: Models, count: int, rows: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Real retrained models against others."""
    for _ in range(rows):
        drawn = generator.permutation(SHIPPED)
        yield raised(models.select(drawn[:count].tolist()), models.select(drawn[count : 2 * count].tolist()))


def drawn(world: World, count: int, rows: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Fresh rows, half of them as retrained, half with the spreads and shifts of shipped methods."""
    retrained = world.row(count, generator)
    for index in range(rows):
        if index % 20 == 0:
            retrained = world.row(count, generator)
        spread, shift = (1.0, 0.0) if index % 2 else (generator.uniform(*SPREADS), generator.uniform(*SHIFTS))
        yield raised(world.row(count, generator, spread, shift), retrained)


def constructed(world: World, change: Change, count: int, rows: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Rows whose confidences were chosen."""
    for _ in range(rows):
        retrained, fresh = world.row(count, generator), world.row(count, generator)
        yield raised(world.with_confidences(change(fresh.confidence, retrained.confidence)), retrained)


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
