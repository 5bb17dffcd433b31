"""Which order of methods can be trusted at which N, for docs/evidence/trust.md: orders of subsets against those of everything.

    bench run --all --models 64 --store STORE
    python docs/evidence/orders/turns.py STORE

Of every two methods with 64 trials, the order at 64 models a side is taken for true; then some trials are drawn, and as many
retrained models, from those that all rows are compared with (0 to 63), or from others (64 to 127).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np

from bench.metrics.approximation import approximate_score
from bench.metrics.memory_left import Grounds, memory_left
from bench.metrics.metric import Models
from bench.store.references import Reference
from bench.store.runs import Run
from bench.store.shipped import FOLDER
from bench.store.store import Store

TASK, MODELS, SHIPPED, DRAWS = "age-synthetic", 64, 128, 200
COUNTS = (8, 16, 32)
Cost = Callable[[Models, Models, Models], float]


def left(unlearned: Models, retrained: Models, original: Models) -> float:
    """|Memory left|: less is better."""
    grounds = Grounds.of(retrained)
    found = memory_left(grounds.side(unlearned), grounds.side(original), grounds.yardstick)
    return abs(found.left) if found else np.inf


def score(unlearned: Models, retrained: Models, original: Models) -> float:
    """The challenge's final score, negative: less is better. Thresholds are searched as in resampling."""
    sides = unlearned.confidence, retrained.confidence
    ratios = [side.outputs.retain_accuracy.mean() * side.accuracy("test").mean() for side in (unlearned, retrained)]
    return -approximate_score(*sides, len(sides[0])) * float(ratios[0] / ratios[1])


def runs(store: Path) -> dict[str, Models]:
    """Unlearned models of every method with as many trials."""
    opened, found = Store(store), {}
    for folder in opened.run_folders():
        run = Run.read(folder)
        if run.record.complete and run.record.models == MODELS and not run.record.method.control:
            reference = opened.reference_of(run.record)
            found[run.record.method.name] = Models(run.outputs(reference), reference.labels(), reference.identities())
    return found


def costs(methods: Mapping[str, Models], cost: Cost, retrained: Models, original: Models, trials: list[int]) -> dict[str, float]:
    return {name: cost(models.select(trials), retrained, original) for name, models in methods.items()}


def main(store: Path) -> None:
    """Print a line for every number, every count of models and every two methods whose order turns."""
    reference = Reference(FOLDER / TASK)
    every = Models(reference.retrained(range(SHIPPED)), reference.labels(), reference.identities())
    original = Models(reference.original(), reference.labels(), reference.identities())
    methods = runs(store)
    pairs = list(combinations(methods, 2))
    for name, cost in (("memory left", left), ("final score", score)):
        truth = costs(methods, cost, every.select(list(range(MODELS))), original, list(range(MODELS)))
        for first, whose in ((0, "the same"), (MODELS, "others")):
            for count in COUNTS:
                generator = np.random.default_rng(count + first)
                turned = dict.fromkeys(pairs, 0)
                for _ in range(DRAWS):
                    chosen = (first + generator.permutation(MODELS)[:count]).tolist()
                    trials = generator.permutation(MODELS)[:count].tolist()
                    found = costs(methods, cost, every.select(chosen), original, trials)
                    for one, other in pairs:
                        turned[one, other] += (found[one] < found[other]) != (truth[one] < truth[other])
                told = [f"{one} / {other} {times}" for (one, other), times in turned.items() if times > DRAWS / 20]
                total = sum(turned.values()) / (DRAWS * len(pairs))
                print(f"{name}, {count} of {whose} retrained models: {100 * total:.1f} % turned; {'; '.join(told)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
