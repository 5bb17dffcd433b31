"""Who is to be forgotten, and their pictures where a task's licence allows to show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.store.store import Store

from . import runs
from .entries import Entry

if TYPE_CHECKING:
    from .site import Site


class Gallery:
    """The forgotten people of every run; read once per reference."""

    def __init__(self, site: Site, store: Store) -> None:
        self._site, self._store = site, store
        self._identities: dict[Path, list[int]] = {}
        self._paths: dict[str, dict[int, str]] = {}

    def identities(self, entry: Entry) -> list[int]:
        """Who is on each forget example of a run; empty if nobody knows."""
        record = entry.row.record
        folder = self._store.reference_folder(record.task.key, record.device.kind)
        if folder not in self._identities:
            try:
                found = self._store.reference_of(record).identities()
            except BenchError:  # no reference here: the board can do without
                found = {}
            self._identities[folder] = found["forget"].tolist() if "forget" in found else []
        return self._identities[folder]

    def paths(self, entry: Entry) -> dict[int, str]:
        """Where the picture of each forgotten person is; empty if they may not be shown."""
        task = entry.row.record.task
        if task.key not in self._paths:
            self._paths[task.key] = self._written(task.name, task.key, self.identities(entry))
        return self._paths[task.key]

    def _written(self, name: str, key: str, identities: list[int]) -> dict[int, str]:
        paths = {identity: f"pictures/{key[:16]}/{identity}.png" for identity in identities}
        if paths and self._site.unchanged(*paths.values()):
            return paths
        task = runs.showable_task(name, key) if paths else None
        if task is None:
            return {}
        for identity, content in runs.portraits(task, identities).items():
            self._site.file(paths[identity], content)
        return paths
