"""What would make a run fail on this machine, found before it does."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from bench.engine.inspection import inspect_all
from bench.engine.machine import Device, default_memory_limit, default_workers, find_device, usable_cores
from bench.engine.neighbours import Neighbours
from bench.engine.worker.closed import OPEN_REMEDY, can_close
from bench.engine.worker.group import UNCOUNTED_REMEDY, ControlGroup, uncounted
from bench.errors import BenchError, CheckResult, WorkerError
from bench.metrics.installed import installed_metrics
from bench.store.reference_records import ReferenceTask
from bench.store.shipped import MEND, shipped_record
from bench.tasks.variants import load_task

LIBRARIES = ("unlearning-bench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "safetensors", "pluggy")
BUSY_REMEDY = "wait until it is quiet: trials are compared with retraining beside them, but may have to be timed again"
LEAST_DISK, LEAST_MEMORY = 200e6, 700e6  # bytes; of memory for each worker


def diagnose(store: Path, task_name: str) -> Iterator[CheckResult]:
    """Look at versions, devices, memory, the disk that the store lies on, the task and every plugin."""
    neighbours = Neighbours()
    yield CheckResult("versions", f"Python {platform.python_version()} on {platform.system()}")
    yield _libraries()
    device = None
    try:
        device = find_device("auto")
        yield CheckResult("device", f"{device.kind}, on {device.processor}")
    except (BenchError, WorkerError, OSError) as problem:
        yield CheckResult("device", "", str(problem))  # which says what to do
    yield _threads(device, neighbours)
    yield _processes()
    yield _files()
    yield _memory(device)
    yield _disk(store)
    yield from _task(task_name, device)
    if device:
        yield from _plugins()


def _libraries() -> CheckResult:
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except Exception:  # it is not there, or its metadata are damaged: then its kind depends on Python's version
            missing.append(name)
    absent = f"not installed: {', '.join(missing)}" if missing else ""
    return CheckResult("libraries", ", ".join(found), absent, f"pip install {' '.join(missing)}")


def _threads(device: Device | None, neighbours: Neighbours) -> CheckResult:
    """How many there may be, and whether others use the cores, too."""
    workers = default_workers(device.kind if device else "cpu")
    all_cores, usable = os.cpu_count() or 1, usable_cores()
    of_them = f" ({usable:.3g} may be used)" if usable < all_cores else ""
    others = f"of which others use {100 * neighbours.share():.0f} %"
    seen = f"{workers} workers of one thread each, {all_cores} cores{of_them}, {others}"
    return CheckResult("threads", seen, neighbours.warning(), BUSY_REMEDY)


def _processes() -> CheckResult:
    """How what a method starts is counted and ended."""
    how = "in control groups" if ControlGroup.can_be_made() else "by descent"
    return CheckResult("processes", f"what methods start is counted {how}", uncounted(), UNCOUNTED_REMEDY)


def _files() -> CheckResult:
    """Whether a method could look up what retrained models answer."""
    seen = "methods have no access to retrained models and prepared data"
    open_ = "" if can_close() else "methods can read what retrained models answer"
    return CheckResult("files", seen, open_, OPEN_REMEDY)


def _memory(device: Device | None) -> CheckResult:
    workers = default_workers(device.kind if device else "cpu")
    limit = default_memory_limit(workers)
    little = f"{limit / 1e9:.1f} GB for each of {workers} workers is too little" if limit < LEAST_MEMORY else ""
    return CheckResult("memory", f"{limit / 1e9:.1f} GB for each of {workers} workers", little, "use fewer --workers")


def _disk(store: Path) -> CheckResult:
    place = next(folder for folder in (store.absolute(), *store.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    little = f"{free / 1e6:.0f} MB are free where {store} lies" if free < LEAST_DISK else ""
    return CheckResult(
        "disk", f"{free / 1e9:.0f} GB are free where {store} lies", little, "free some space, or use another --store"
    )


def _task(name: str, device: Device | None) -> Iterator[CheckResult]:
    """Its data, and the reference that comes with the package, if there is one for it."""
    try:
        task = load_task(name)  # whose data it compares with the key
    except BenchError as problem:
        yield CheckResult(f"task {name}", "", str(problem), "`bench tasks` lists what is installed")
        return
    yield CheckResult(f"task {name}", f"its data fit its key, {task.key[:16]}")
    try:
        shipped = shipped_record(ReferenceTask(name=task.name, key=task.key), device.kind if device else "cpu")
    except BenchError as problem:
        remedy = f"{MEND}; until then `bench run` trains what is missing, for a minute or more"
        yield CheckResult("shipped reference", "", str(problem), remedy)
        return
    if shipped:
        yield CheckResult("shipped reference", f"{shipped.available} retrained models, all files as its record says")


def _plugins() -> Iterator[CheckResult]:
    """Every plugin is loaded, each in a process of its own; metrics also beside each other."""
    for item in inspect_all():
        point, plugin = f"{item.kind} {item.plugin.name}", item.plugin
        remedy = f"mend or uninstall {plugin.distribution}; other plugins are not affected"
        yield CheckResult(point, f"{plugin.distribution} {plugin.version}", item.problem, remedy)
    yield from (
        CheckResult("metrics", "", str(problem), "mend or uninstall its package; other metrics are not affected")
        for problem in installed_metrics()[1]
        if "is left out" in str(problem)
    )
