"""A quick search behind the default hyper-parameters of the methods that search.py does not search.

Equal effort for every method, on the forget set and the first run seed of search.py, which no board reports, N = 8: its defaults
as the budget scales them, and nine more that are spread evenly over where its fields say that good values are sought (a Latin
hypercube). Which of them become the defaults is the rule of chosen.py.

    python docs/evidence/tuning/quick.py --store quick-store --out docs/evidence/tuning/quick.csv ssd fisher ...
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import click
from scipy.stats import qmc
from search import FORGET, SEEDS, Search

from bench import method
from bench.engine.executor import find_executor
from bench.engine.machine import find_device
from bench.engine.session import Session
from bench.errors import BenchError
from bench.progress import Bars
from bench.registry import discovery, loading, specs
from bench.store.store import Store
from bench.tasks.age_synthetic import age_synthetic, task_data

MODELS, CONFIGURATIONS = 8, 10


def configurations(name: str) -> list[dict[str, Any]]:
    """The method's defaults, and points that are spread over its ranges."""
    kind = loading.load_method(discovery.find_method(name))
    ranges, defaults = specs.searches(kind), specs.hyper_parameters(kind())
    if not ranges:
        return [{}]
    cube = qmc.LatinHypercube(len(ranges), rng=zlib.crc32(name.encode()))
    points = cube.random(CONFIGURATIONS - 1).tolist()
    return [{}, *(_values(ranges, point, defaults) for point in points)]


def _values(ranges: dict[str, method.Search], point: list[float], defaults: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters so far into their ranges, with two digits; whole ones where the default is."""
    found = {name: _at(where, part) for (name, where), part in zip(ranges.items(), point, strict=True)}
    return {name: round(value) if isinstance(defaults[name], int) else float(f"{value:.2g}") for name, value in found.items()}


def _at(where: method.Search, part: float) -> float:
    if where.log:
        return where.low * math.exp(part * math.log(where.high / where.low))
    return where.low + part * (where.high - where.low)


@click.command()
@click.argument("methods", nargs=-1, required=True)
@click.option("--store", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(methods: tuple[str, ...], store: Path, out: Path) -> None:
    """Search some methods; an interrupted search goes on where it stopped."""
    opened = Store(store)
    opened.prepare()
    task = age_synthetic(FORGET, task_data(FORGET).digest())
    executor = find_executor("local")
    with Bars() as progress, Session(opened, task, find_device("cpu"), executor, progress=progress) as session:
        search = Search(session, opened, out, MODELS)
        for name in methods:
            for parameters in configurations(name):
                try:
                    search.run("quick", name, parameters, SEEDS[0])
                except BenchError as problem:  # what does not fit the budget, or each other
                    progress.note(f"not run: {problem}")


if __name__ == "__main__":
    main()
