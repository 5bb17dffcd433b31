"""What would make a run fail on this machine, found before it does."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import registry
from bench.checks import Check
from bench.engine.inspection import inspect_all
from bench.engine.runs import Run
from bench.engine.session import Device, default_memory_limit, find_device
from bench.errors import BenchError, WorkerError
from bench.executors.local import default_workers
from bench.references import References
from bench.scoring import installed_metrics
from bench.store import Store

LIBRARIES = ("unlearning-bench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "safetensors", "pluggy")
LEAST_DISK, LEAST_MEMORY = 200e6, 700e6  # bytes; of memory for each worker


def diagnose(store: Path, task_name: str) -> Iterator[Check]:
    """Look at versions, devices, memory, disk, the store, the task and every plugin."""
    yield Check("versions", f"Python {platform.python_version()} on {platform.system()}")
    yield _libraries()
    device = None
    try:
        device = find_device("auto")
        yield Check("device", f"{device.kind}, on {device.processor}")
    except (BenchError, WorkerError, OSError) as problem:
        yield Check("device", "", f"no process can be started: {problem}", "install torch and torchvision again")
    yield _threads(device)
    yield _memory(device)
    yield _disk(store)
    yield from _store(store)
    task = _task(task_name)
    yield task
    if device:
        yield from _plugins()


def _libraries() -> Check:
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    absent = f"not installed: {', '.join(missing)}" if missing else ""
    return Check("libraries", ", ".join(found), absent, f"pip install {' '.join(missing)}")


def _threads(device: Device | None) -> Check:
    workers = default_workers(device.kind if device else "cpu")
    return Check(
        "threads", f"{workers} workers of one thread each, {os.cpu_count()} cores, {os.getloadavg()[0]:.1f} of them busy"
    )


def _memory(device: Device | None) -> Check:
    workers = default_workers(device.kind if device else "cpu")
    limit = default_memory_limit(workers)
    little = f"{limit / 1e9:.1f} GB for each of {workers} workers is too little" if limit < LEAST_MEMORY else ""
    return Check("memory", f"{limit / 1e9:.1f} GB for each of {workers} workers", little, "use fewer --workers")


def _disk(store: Path) -> Check:
    place = next(folder for folder in (store.absolute(), *store.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    little = f"{free / 1e6:.0f} MB are free where {store} lies" if free < LEAST_DISK else ""
    return Check("disk", f"{free / 1e9:.0f} GB are free where {store} lies", little, "free some space, or use another --store")


def _store(path: Path) -> Iterator[Check]:
    """The store is not made by looking at it."""
    if not path.exists():
        yield Check("store", f"{path} does not exist yet; `bench run` makes it")
        return
    try:
        store = Store(path)
        if not path.is_dir():
            raise BenchError(f"{path} is not a folder")
        if not os.access(path, os.W_OK):
            raise BenchError(f"{path} cannot be written")
    except BenchError as problem:
        yield Check("store", "", str(problem), "use another --store")
        return
    runs = list(store.run_folders())
    yield Check("store", f"{path} has {len(runs)} runs")
    again = "the command that made it repeats what is damaged"
    for folder in runs:
        yield from _problem_of(f"run {folder.name}", partial(_read_run, folder), again)
    for record in store.references.glob("*/*/reference.json"):
        mend = "`bench reference build` makes again what is damaged"
        yield from _problem_of(f"reference {record.parent.name}", partial(_read_reference, record.parent), mend)


def _problem_of(point: str, look: Callable[[], None], remedy: str) -> Iterator[Check]:
    try:
        look()
    except BenchError as problem:
        yield Check(point, "", str(problem), remedy)


def _read_run(folder: Path) -> None:
    Run.read(folder).check_outputs()


def _read_reference(folder: Path) -> None:
    References(folder).check()


def _task(name: str) -> Check:
    try:
        task = registry.load_task(name)
        if task.load().digest() != task.digest:
            raise BenchError("its data are not what its key says")
    except BenchError as problem:
        return Check(f"task {name}", "", str(problem), "`bench tasks` lists what is installed")
    return Check(f"task {name}", f"its data fit its key, {task.key[:16]}")


def _plugins() -> Iterator[Check]:
    """Every plugin is loaded, each in a process of its own; metrics also beside each other."""
    for item in inspect_all():
        point, plugin = f"{item.kind} {item.plugin.name}", item.plugin
        remedy = f"mend or uninstall {plugin.distribution}; other plugins are not affected"
        yield Check(point, f"{plugin.distribution} {plugin.version}", item.problem, remedy)
    yield from (
        Check("metrics", "", str(problem), "mend or uninstall its package; other metrics are not affected")
        for problem in installed_metrics()[1]
        if "is left out" in str(problem)
    )
