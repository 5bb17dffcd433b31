"""Whether a store can be used, and what in it is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.errors import BenchError, CheckResult
from bench.store.references import Reference
from bench.store.runs import Run
from bench.store.store import Store


def examine_store(path: Path) -> Iterator[CheckResult]:
    """Look at everything in a store, which is not made by that."""
    if not path.exists():
        yield CheckResult("store", f"{path} does not exist yet; `bench run` makes it")
        return
    try:
        store = Store(path)
        if not path.is_dir():
            raise BenchError(f"{path} is not a folder")
        if not os.access(path, os.W_OK):
            raise BenchError(f"{path} cannot be written")
    except BenchError as problem:
        yield CheckResult("store", "", str(problem), "use another --store")
        return
    runs = list(store.run_folders())
    yield CheckResult("store", f"{path} has {len(runs)} runs")
    again = "the command that made it repeats what is damaged"
    for folder in runs:
        yield from _problem_of(f"run {folder.name}", partial(_read_run, folder), again)
    for folder in store.reference_folders():
        mend = "`bench reference build` makes again what is damaged"
        yield from _problem_of(f"reference {folder.name}", partial(_read_reference, folder), mend)


def _problem_of(point: str, look: Callable[[], None], remedy: str) -> Iterator[CheckResult]:
    try:
        look()
    except BenchError as problem:
        yield CheckResult(point, "", str(problem), remedy)


def _read_run(folder: Path) -> None:
    Run.read(folder).check_outputs()


def _read_reference(folder: Path) -> None:
    Reference(folder).check()
