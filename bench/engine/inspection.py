"""Whether installed plugins load: each is imported in a process of its own, where it can neither hang nor crash the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from bench.engine.machine import default_memory_limit, default_workers
from bench.engine.worker import entries
from bench.engine.worker.calls import ProbeCalls
from bench.engine.worker.process import Worker
from bench.errors import BenchError, WorkerError, one_line
from bench.registry import discovery
from bench.registry.discovery import KINDS, Plugin


@dataclass(frozen=True)
class Inspected:
    """A plugin, and why it cannot be used; "" if it can."""

    group: str
    plugin: Plugin
    problem: str

    @property
    def kind(self) -> str:
        """method, task, metric or command."""
        return KINDS[self.group]


def inspect_all(groups: Iterable[str] = KINDS) -> Iterator[Inspected]:
    """Load every plugin that is not disabled, several at once; in the order of the list."""
    found = [(group, plugin) for group in groups for plugin in discovery.plugins(group)]
    with ThreadPoolExecutor(default_workers("cpu")) as pool:
        yield from pool.map(lambda item: Inspected(item[0], item[1], _problem(*item)), found)


def changed_by_loading(group: str, plugin: Plugin) -> list[str]:
    """What importing a plugin changes in a process, in words.

    Raises:
        WorkerError: it does not load.
    """
    found = _tried(group, plugin, plugin.text)
    if isinstance(found, WorkerError):
        raise found
    return found


@cache  # it is asked before the first check, and by one
def _tried(group: str, plugin: Plugin, _: bytes | None) -> list[str] | WorkerError:
    """What importing a plugin, with this text of its file, changes in a process, or why it does not load."""
    try:
        with _probe() as worker:
            return ProbeCalls(worker).changed_by_loading(group, plugin)
    except WorkerError as problem:
        return problem


def demand_that_it_can_be_imported(name: str) -> None:
    """Import what is in a file, or installed under a name, where that harms nobody; what it raises is told later.

    Raises:
        BenchError: importing it ends its process, or takes without end.
    """
    file = discovery.in_file(name, "plugin")
    found = [file] if file else [plugin for group in KINDS for plugin in discovery.plugins(group) if plugin.name == name]
    for plugin in found:
        problem = _tried(discovery.METHODS, plugin, plugin.text)
        if isinstance(problem, WorkerError) and problem.kind != "error":
            raise BenchError(f"plugin {plugin.label}: {one_line(str(problem))}, when it was imported") from problem


def _probe() -> Worker:
    return Worker(entries.probe, memory_limit=default_memory_limit(1))


def _problem(group: str, plugin: Plugin) -> str:
    try:
        discovery.find(group, plugin.name, KINDS[group])  # two packages may claim its name
        with _probe() as worker:
            ProbeCalls(worker).load(group, plugin)
    except (BenchError, WorkerError) as problem:
        return one_line(str(problem))
    return ""
