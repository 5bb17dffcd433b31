"""The search behind the default hyper-parameters of the shipped methods (docs/evidence/tuning.md tells the result).

Equal effort for every method, on a forget set and run seeds that no board reports, N = 16: `FIRST` random configurations;
`REFINED` more in the neighbourhood of the best of them; as many near the best where missing a gate has a `PRICE`, as the least
memory that passes lies at the edge of what does; the best `CONFIRMED` of all run again with another seed. The least mean
|memory left| of those wins. Configurations that pass every gate and stay within `MARGIN` of the budget come first; of the others
those that miss least. SCRUB and SCRUB+R have the same hyper-parameters, so their neighbourhood is that of the better of the two,
and the best two of both are tried with either.
Fine-tuning is not searched: it is the challenge's baseline, and stays at the challenge's numbers.

    python docs/evidence/tuning/search.py --store tuning-store --out docs/evidence/tuning/results.csv
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from bench.budget import Budget
from bench.engine import references
from bench.engine.executor import find_executor
from bench.engine.machine import find_device
from bench.engine.requests import Request, describe
from bench.engine.runs import complete_run
from bench.engine.session import Session
from bench.metrics.installed import installed_metrics
from bench.progress import Bars
from bench.registry import discovery
from bench.registry.specs import Spec, parse
from bench.scoring.gates import why_unranked
from bench.scoring.rows import OVER_BUDGET, USEFUL, UTILITY_LOST, Row, row
from bench.scoring.scorer import Scorer
from bench.store.runs import Run
from bench.store.store import Store
from bench.tasks.age_synthetic import age_synthetic, task_data

FORGET = range(40, 80)  # the board's task forgets identities 0-39
MODELS, FIRST, REFINED, CONFIRMED = 16, 8, 8, 2
SEEDS = (101, 102)  # boards use small seeds
PRICE = 3.0  # of memory left, for each unit of utility and time that is missed
MARGIN = 0.8  # of the budget, so that a busy machine does not push the defaults over it

Draw = Callable[[np.random.Generator], Any]


def uniform(low: float, high: float) -> Draw:
    return lambda generator: round(float(generator.uniform(low, high)), 3)


def log_uniform(low: float, high: float) -> Draw:
    return lambda generator: float(f"{np.exp(generator.uniform(np.log(low), np.log(high))):.2g}")


def one_of(*values: Any) -> Draw:
    return lambda generator: values[int(generator.integers(len(values)))]


RATE = log_uniform(3e-4, 3e-2)
ALPHA = log_uniform(1e-3, 1.0)
ASCENT = log_uniform(1e-4, 1e-2)
SCRUB: dict[str, Draw] = {
    "learning_rate": RATE,
    "alpha": ALPHA,
    "temperature": one_of(2.0, 4.0),
    "retain_batch": one_of(64, 128, 256),
    "forget_batch": one_of(16, 32, 64, 120),
}
NOISE = uniform(0.2, 0.9)
SHARE = uniform(0.6, 0.98)
CONTINUOUS = {RATE: 0.1, ALPHA: 10.0, ASCENT: 0.1, NOISE: 1.0, SHARE: 0.99}  # with the largest value that makes sense
LATE_NOISE = one_of(0.0, 0.02, 0.05)
SPACES: dict[str, dict[str, Draw]] = {
    "noise-injection": {
        "noise": NOISE,
        "epochs": one_of(1.0, 1.5, 2.0),
        "learning_rate": RATE,
        "final_noise": LATE_NOISE,
        "batch_size": one_of(64, 128),
    },
    "scrub": SCRUB,
    "scrub-r": SCRUB,
    "scrub-noise": {**SCRUB, "noise": NOISE, "late_noise": LATE_NOISE},
    "negative-gradient": {
        "epochs": one_of(1.0, 2.0, 4.0, 8.0),
        "learning_rate": ASCENT,
        "batch_size": one_of(16, 32, 64),
        "max_norm": one_of(1.0, 5.0),
    },
    "neggrad-plus": {
        "alpha": SHARE,
        "epochs": one_of(1.0, 1.5),
        "learning_rate": RATE,
        "forget_loss_cap": one_of(3.0, 4.0, 6.0),
        "retain_batch": one_of(64, 128),
        "forget_batch": one_of(16, 32),
    },
}


FAMILIES = {"scrub": ("scrub", "scrub-r"), "scrub-r": ("scrub", "scrub-r")}
KEPT = 0.5  # chance that a refined configuration keeps a choice or a number as it is
Parameters = dict[str, Any]
Line = dict[str, Any]


def first(method: str) -> list[Parameters]:
    """The method's own random configurations."""
    generator = np.random.default_rng(zlib.crc32(method.encode()))
    return [{name: draw(generator) for name, draw in SPACES[method].items()} for _ in range(FIRST)]


def refined(method: str, stage: str, best: Parameters) -> list[Parameters]:
    """Configurations near the best: numbers within a factor of two, choices drawn again half of the time."""
    generator = np.random.default_rng(zlib.crc32(f"{method} {stage}".encode()))
    return [{name: _near(generator, best[name], draw) for name, draw in SPACES[method].items()} for _ in range(REFINED)]


def _near(generator: np.random.Generator, value: Any, draw: Draw) -> Any:
    if generator.random() < KEPT:
        return value
    if draw in CONTINUOUS:
        return min(float(f"{value * np.exp(generator.uniform(-np.log(2), np.log(2))):.2g}"), CONTINUOUS[draw])
    return draw(generator)


def best_first(lines: list[Line]) -> list[Line]:
    """Lines of runs with a number: those that miss nothing by what they remember, then those that miss least."""
    known = [line for line in lines if line["unranked"].partition(":")[0] in ("", UTILITY_LOST, OVER_BUDGET)]
    return sorted(known, key=lambda line: (line["missed"], abs(line["memory_left"])))


def at_a_price(lines: list[Line]) -> list[Line]:
    """The same, where missing something has a price in memory."""
    return sorted(best_first(lines), key=lambda line: abs(line["memory_left"]) + PRICE * line["missed"])


def best_parameters(lines: list[Line]) -> list[Parameters]:
    """The hyper-parameters of the best lines, each once."""
    found = [dict(parse(line["spec"]).parameters) for line in best_first(lines)]
    return [each for place, each in enumerate(found) if each not in found[:place]][:CONFIRMED]


def missed(item: Row) -> float:
    """By how much a row misses utility and time, of what is asked, all together; 0 if it misses neither."""
    short = sum(USEFUL[name] - share for name, share in item.lost.items())
    return short + max(0.0, (item.value("budget_share") or 0.0) - MARGIN)


class Search:
    """Runs configurations and keeps one line of result for each."""

    def __init__(self, session: Session, store: Store, out: Path, models: int = MODELS) -> None:
        self.session, self.store, self.out, self.models = session, store, out, models
        self.reference = store.reference(session.task.key, session.device.kind, session.progress.note)
        references.build(session, self.reference, range(models))
        self.scorer = Scorer(self.reference, models, self.reference.identifier(models))
        self.metrics = [item for item in installed_metrics()[0] if item.metric.quick]
        self.lines: list[Line] = []

    def run(self, stage: str, method: str, parameters: Parameters, seed: int) -> Line:
        """Run one configuration; the result is written at once."""
        request = Request(discovery.find_method(method), Spec(method, parameters), self.models, Budget.parse("20%"), seed)
        item = self.scored(request)
        values = {
            **{name: item.value(name) for name in ("memory_left", "excess_epsilon", "final_score")},
            **{f"{name}_ratio": getattr(item.measure(f"{name}_accuracy"), "relative", None) for name in ("retain", "test")},
            **{name: item.value(name) for name in ("forget_accuracy", "budget_share")},
        }
        about = {"stage": stage, "method": method, "seed": seed, "spec": str(request.spec), "unranked": why_unranked(item)}
        self.lines.append({**about, **values, "missed": missed(item)})
        pd.DataFrame(self.lines).to_csv(self.out, index=False, float_format="%.4f")
        return self.lines[-1]

    def scored(self, request: Request) -> Row:
        """The row of a request, which is run and scored if it was not."""
        name = complete_run(self.session, self.reference, request, describe(self.session, request))
        run = Run.read(self.store.runs / name)
        if run.record.complete:
            self.scorer.score(run, self.scorer.missing(run, self.metrics))
        return row(run)

    def of(self, *methods: str) -> list[Line]:
        """Lines of the given methods under the first seed."""
        return [line for line in self.lines if line["method"] in methods and line["seed"] == SEEDS[0]]


@click.command()
@click.option("--store", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(store: Path, out: Path) -> None:
    """Search every method; an interrupted search goes on where it stopped."""
    opened = Store(store)
    opened.prepare()
    task = age_synthetic(FORGET, task_data(FORGET).digest())
    executor = find_executor("local")
    with Bars() as progress, Session(opened, task, find_device("cpu"), executor, progress=progress) as session:
        search = Search(session, opened, out)
        for method in SPACES:
            for parameters in first(method):
                search.run("first", method, parameters, SEEDS[0])
        for stage, ordered in (("refined", best_first), ("at a price", at_a_price)):
            bests = {method: ordered(search.of(*FAMILIES.get(method, (method,))))[0] for method in SPACES}
            for method, best in bests.items():
                for parameters in refined(method, stage, dict(parse(best["spec"]).parameters)):
                    search.run(stage, method, parameters, SEEDS[0])
        for method, family in FAMILIES.items():
            for parameters in best_parameters(search.of(*family)):
                search.run("of the family", method, parameters, SEEDS[0])
        for method in SPACES:
            for parameters in best_parameters(search.of(method)):
                search.run("confirmed", method, parameters, SEEDS[1])


if __name__ == "__main__":
    main()
