"""Which run a record means: found or made, and locked; and whose trials are the same."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.errors import BenchError
from bench.progress import Note
from bench.store.fields import checked, in_words
from bench.store.files import DamagedFileError, locked, restored, set_aside, write_record
from bench.store.records import RunRecord
from bench.store.runs import RECORD, Run


@contextmanager
def opened_run(store: Path, wanted: RunRecord, *, again: bool, note: Note) -> Iterator[Run]:
    """The run of a record's identity, found or made, and locked; chunks whose files are damaged are pending.

    `again`: a new one, even if there is one. `note` is told what the user should know.

    Raises:
        BenchError: it cannot be recorded.
    """
    with locked(store, note):
        folder = _find_or_create(store / "runs", wanted, again=again, note=note).folder
    with locked(folder, note):
        run = Run.read(folder)
        for path in run.forget_damaged():
            note(f"damaged file {path}: its trials run again")
        yield run


@contextmanager
def kept_run(folder: Path, note: Note) -> Iterator[Run]:
    """A run that is there, locked.

    Raises:
        DamagedFileError: its record is damaged.
    """
    with locked(folder, note):
        yield Run.read(folder)


def _find_or_create(runs: Path, asked: RunRecord, *, again: bool, note: Note) -> Run:
    try:
        wanted = checked(asked)
    except (ValueError, TypeError, RecursionError) as problem:
        raise BenchError(f"the run of {asked.method.spec[:100]} cannot be recorded: {in_words(problem)}") from problem
    for attempt in count():
        folder = runs / _folder_name(wanted, attempt)
        path = folder / RECORD
        if not path.exists() and not restored(path, RunRecord):
            break
        if not again or wanted.method.control:
            found = _read_or_restored(folder, note)
            if found:
                return found
            break
    record = replace(wanted, attempt=attempt, run=folder.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_record(path, record, twice=True)
    return Run(folder, record)


def _read_or_restored(folder: Path, note: Note) -> Run | None:
    """The run, or that of its copy; None if both are damaged, and the damaged one is set aside."""
    path = folder / RECORD
    with suppress(DamagedFileError):
        return Run.read(folder)
    with suppress(DamagedFileError):
        if restored(path, RunRecord):
            run = Run.read(folder)
            note(f"damaged file {path}: set aside, its copy is used")
            return run
    note(f"damaged file {path}: set aside, the run starts again")
    set_aside(path)
    return None


def with_same_trials(runs: Path, wanted: RunRecord) -> str | None:
    """The name of a complete run in a folder of runs that differs from a record in nothing but its budget."""
    for path in sorted(runs.glob(f"{glob.escape(wanted.method.name)}-*/{RECORD}")):
        with suppress(BenchError):
            found = Run.read(path.parent)
            if found.record.complete and found.record.budget != wanted.budget and _trials(found.record) == _trials(wanted):
                found.check_outputs()
                return found.folder.name
    return None


def _folder_name(record: RunRecord, attempt: int) -> str:
    identity = {**_trials(record), "budget": record.budget, "attempt": attempt}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{record.method.name}-{digest[:12]}"


def _trials(record: RunRecord) -> dict[str, Any]:
    """What decides on the trials of a method that does not read the clock."""
    method = record.method
    # A control row is the reference's, whatever version lists it and whatever the seed.
    source, seed = ("", 0) if method.control else (method.source_hash, record.seed)
    return {
        "method": [method.name, method.hyper_parameters, source, seed],
        "reference_id": record.reference_id,
        "models": record.models,
        "task": record.task.key,
        "device": record.device.kind,
    }
