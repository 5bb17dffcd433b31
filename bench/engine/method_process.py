"""A process that runs one plugin: which splits it is handed, and to which folders it has no access."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from bench.engine.jobs import Setting
from bench.engine.worker import entries
from bench.engine.worker.process import Worker
from bench.errors import BenchError
from bench.outputs import Arrays
from bench.registry import discovery
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.store.shipped import FOLDER
from bench.tasks.datasets.home import home
from bench.tasks.task import METHOD_SPLITS, TaskData


def start_method(
    setting: Setting,
    plugin: Plugin,
    spec: Spec,
    share: float | None,
    memory_limit: int,
    closed: Sequence[str],
    data: TaskData | None = None,
    original: Arrays | None = None,
) -> Worker:
    """A fresh process for one plugin, with the splits that a method may see; without data it can only be described.

    Beside those folders it has no access to what retrained models of the package answer, and to prepared data.
    """
    splits = METHOD_SPLITS if data else ()
    return Worker(
        entries.method,
        setting,
        {name: data.split(name) for name in splits} if data else {},
        {name: data.identities[data.splits[name]] for name in splits} if data else {},
        original or {},
        plugin,
        spec,
        share,
        device_kind=setting.device_kind,
        heard=data is not None,
        memory_limit=memory_limit,
        closed=[*closed, str(FOLDER), *_prepared()],
    )


def _prepared() -> list[str]:
    """Where the pictures lie that no method may see, if they are anywhere."""
    with suppress(BenchError):
        names = {plugin.name for plugin in discovery.plugins(discovery.TASKS)}
        return [str(folder) for name in names if (folder := home().absolute() / name).is_dir()]
    return []
