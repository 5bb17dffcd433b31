"""Shares of the shipped methods on a quiet machine, beside processes that spin, and beside some that wait for memory.

    python docs/evidence/runtime/neighbours.py STORE

runs every method with 16 models where the store lacks it, times trials again in each surrounding, and prints the table of
docs/evidence/runtime.md: shares of one retraining, and what they are of the quiet one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.metrics.timing import Timing
from bench.store.runs import Run
from bench.store.store import Store

SPINS = "while True: pass"
WAITS_FOR_MEMORY = "import numpy as np\ntaken = np.ones(2**25)\nwhile True: taken[:] = taken[::-1]"
SURROUNDINGS = {"quiet": "", "four that spin": SPINS, "four that wait for memory": WAITS_FOR_MEMORY, "quiet again": ""}


@contextmanager
def beside(source: str, count: int = 4) -> Iterator[None]:
    """So many processes that run some Python."""
    others = [subprocess.Popen([sys.executable, "-c", source]) for _ in range(count if source else 0)]  # noqa: S603
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def bench(*arguments: object) -> None:
    """Call the command."""
    subprocess.run([sys.executable, "-m", "bench", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def runs(store: Path) -> list[Run]:
    """Those that have timed trials."""
    found = [Run.read(folder) for folder in Store(store).run_folders()]
    return [run for run in found if not run.record.method.control]


def main(store: Path) -> None:
    """Time all methods in all surroundings."""
    bench("run", "--all", "--models", 16, "--store", store)
    seen: dict[str, dict[str, Timing]] = {run.record.method.name: {} for run in runs(store)}
    for name, source in SURROUNDINGS.items():
        with beside(source):
            bench("time", *(run.folder.name for run in runs(store)), "--store", store)
        for run in runs(store):
            seen[run.record.method.name][name] = run.record.timing
    print("| method |", " | ".join(f"{name} | trials | busy" for name in SURROUNDINGS), "|")
    for method, timings in seen.items():
        quiet = median(timing.share for name, timing in timings.items() if name.startswith("quiet"))
        cells = (
            f"{timing.share:.3f} ({timing.share / quiet:.2f}) {'over' if timing.over_budget else ''} | {len(timing.shares)}"
            f" | {median(timing.busy):.2f}"
            for timing in timings.values()
        )
        print(f"| {method} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
