"""The store as a whole: where everything lies, and the engine's keeper."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from bench.errors import BenchError
from bench.progress import Note
from bench.store.files import read_record, write_record
from bench.store.opening import kept_run, opened_run, with_same_trials
from bench.store.records import RunRecord, StoreRecord
from bench.store.reference_records import ReferenceTask
from bench.store.references import Reference, folder_of, reference_folders
from bench.store.runs import Run, run_folders

MARKER = "store.json"


class Store:
    """A folder of results.

    `store.json` names the version; `references/TASK/DEVICE/` and `runs/RUN/` hold a JSON record each and npz files whose
    checksums the record lists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if (path / MARKER).exists():
            read_record(path / MARKER, StoreRecord, mend=f"move {path} away, or choose another with --store")

    def prepare(self) -> None:
        """Make the store if it does not exist, and find out now whether it can be written to."""
        try:
            for folder in (self.references, self.runs):
                folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(13, "no write permission")
            if not (self.path / MARKER).exists():
                write_record(self.path / MARKER, StoreRecord())
        except OSError as problem:
            raise BenchError(
                f"store {self.path} cannot be written ({problem.strerror}); choose another with --store"
            ) from problem

    @property
    def references(self) -> Path:
        """The folder of references."""
        return self.path / "references"

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return self.path / "runs"

    @property
    def closed(self) -> list[Path]:
        """Folders to which no method has access: what retrained models answer, and what other methods do."""
        return [self.references, self.runs]

    def run_folders(self) -> Iterator[Path]:
        """Folders of all runs that have a record."""
        return run_folders(self.runs)

    def reference_folders(self, task_key: str = "*") -> list[Path]:
        """Folders of all references that have a record, or of those of a task."""
        return reference_folders(self.references, task_key)

    def reference_folder(self, task_key: str, device_kind: str) -> Path:
        """Where the reference of a task on a kind of device lies, or will."""
        return folder_of(self.references, task_key, device_kind)

    def reference(self, task_key: str, device_kind: str, note: Note = lambda text: None) -> Reference:
        """The reference of a task on a kind of device; a damaged record is set aside, and `note` is told."""
        return Reference.opened(self.reference_folder(task_key, device_kind), note)

    def reference_of(self, run: RunRecord) -> Reference:
        """What a run is compared with: the store's reference or, if it was compared with that, the one of the package.

        Raises:
            BenchError: its record is damaged, or it is that of another device whose name leads to the same folder.
        """
        reference = Reference(self.reference_folder(run.task.key, run.device.kind))
        reference.look_at_shipped(ReferenceTask(name=run.task.name, key=run.task.key), run.device.kind, run.shipped_models)
        ours, theirs = reference.record.device, run.device.kind
        if ours not in ("", theirs):
            raise BenchError(f"the run was computed on {theirs!r}, and the reference in {reference.folder} on {ours!r}")
        return reference

    def run(self, record: RunRecord, *, again: bool, note: Note) -> AbstractContextManager[Run]:
        """The run of a record's identity, found or made, to oneself for as long as the block lasts."""
        return opened_run(self.path, record, again=again, note=note)

    def with_same_trials(self, record: RunRecord) -> str | None:
        """The name of a complete run that differs from a record in nothing but its budget."""
        return with_same_trials(self.runs, record)

    def kept_run(self, name: str, note: Note) -> AbstractContextManager[Run]:
        """A run that is there, to oneself for as long as the block lasts."""
        return kept_run(self.runs / name, note)
