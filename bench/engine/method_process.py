"""A process that runs one plugin: what it is handed, and to which folders it has no access."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from bench.engine.jobs import Setting
from bench.engine.worker import entries
from bench.engine.worker.handed import Handed
from bench.engine.worker.process import Worker
from bench.errors import BenchError
from bench.registry import discovery
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.store.shipped import FOLDER
from bench.tasks.datasets.home import home


def start_method(
    setting: Setting,
    plugin: Plugin,
    spec: Spec,
    share: float | None,
    memory_limit: int,
    closed: Sequence[str],
    handed: Handed | None = None,
) -> Worker:
    """A fresh process for one plugin.

    Beside those folders it has no access to what retrained models of the package answer, and to prepared data.
    """
    return Worker(
        entries.method,
        setting,
        handed or Handed(),
        plugin,
        spec,
        share,
        device_kind=setting.device_kind,
        heard=handed is not None,
        memory_limit=memory_limit,
        closed=[*closed, str(FOLDER), *_prepared()],
    )


def _prepared() -> list[str]:
    """Where the pictures lie that no method may see, if they are anywhere."""
    with suppress(BenchError):
        names = {plugin.name for plugin in discovery.plugins(discovery.TASKS)}
        return [str(folder) for name in names if (folder := home().absolute() / name).is_dir()]
    return []
