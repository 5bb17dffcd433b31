"""Runs and references as one file each, to send to others: what the store has, in a zip that need not be trusted."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from bench.errors import BenchError
from bench.registry.discovery import RUN_NAME
from bench.store import runs
from bench.store.files import (
    LARGEST_FILE,
    DamagedFileError,
    OtherVersionError,
    open_regular,
    read_bytes,
    read_fields,
    read_record,
    write_bytes,
    write_record,
)
from bench.store.records import OUTPUTS_FILE, RunRecord
from bench.store.reference_records import REFERENCE_FILE, ReferenceRecord
from bench.store.references import Reference
from bench.store.runs import Run
from bench.store.store import Store

SCORECARD = "scorecard.json"
RUN_FILES = re.compile(rf"run\.json|scorecard\.json|{OUTPUTS_FILE}")
REFERENCE_FILES = re.compile(rf"reference\.json|{REFERENCE_FILE}")
MOST_FILES = 10_000
MEND = "ask for it again"


def export_run(run: Run, out: Path) -> None:
    """Write a complete run with its scorecard into one file.

    Raises:
        BenchError: it is not complete, not scored, or called what nobody could import, or a file of it is damaged.
    """
    run.check_outputs()
    if not run.record.complete or not (run.folder / SCORECARD).exists():
        raise BenchError(f"run {run.folder.name} is not complete and scored; the command that made it resumes it")
    if not RUN_NAME.fullmatch(run.folder.name):
        raise BenchError(f"nobody could import a run called {run.folder.name!r}: rename its method, and run it again")
    read_fields(run.folder / SCORECARD)  # a damaged one is of no use to anybody
    names = [runs.RECORD, SCORECARD, *(part.file for part in run.record.with_files)]
    _pack({name: read_bytes(run.folder / name, LARGEST_FILE) for name in names}, out)


def export_reference(reference: Reference, out: Path) -> None:
    """Write a reference into one file, so that others can unlearn from the same model and be ranked in the same division."""
    contents = {name: reference.read(name) for name in reference.record.files}
    with tempfile.TemporaryDirectory() as scratch:  # the record is another one: all that it lists is in the file
        record = Path(scratch) / ReferenceRecord.NAME
        write_record(record, replace(reference.record, shipped=frozenset()))
        _pack({ReferenceRecord.NAME: read_bytes(record, LARGEST_FILE), **contents}, out)


def add_reference(store: Store, file: Path) -> Path:
    """Put a reference that `export_reference` wrote into a store, but what was timed or computed from it; returns its folder.

    Raises:
        BenchError: the file is not what it says, or the store has a reference of that task and kind of device.
    """
    with unpacked(file, REFERENCE_FILES) as folder:
        record = read_record(folder / ReferenceRecord.NAME, ReferenceRecord, mend=MEND)
        if record.task is None or not record.device:
            raise BenchError(f"{file} does not say which task and device it is a reference of")
        if record.shipped:
            raise BenchError(f"{file} lacks files that its record lists; {MEND}")
        Reference(folder).check()
        target = store.reference_folder(record.task.key, record.device)
        if (target / ReferenceRecord.NAME).exists():
            raise BenchError(f"there is a reference in {target}; choose another store with --store")
        for name in record.files:
            write_bytes(target / name, (folder / name).read_bytes())
        own = replace(record, retraining_times={}, baselines={})  # budgets and ceilings are not a stranger's to say
        write_record(target / ReferenceRecord.NAME, own, twice=True)  # last: it vouches for the others
    return target


@contextmanager
def imported_run(file: Path) -> Iterator[Run]:
    """A run that `export_run` wrote, for as long as the block lasts; its record has been checked, its outputs have not.

    Raises:
        BenchError: the file is something else.
    """
    with unpacked(file, RUN_FILES) as folder:
        name = read_record(folder / runs.RECORD, RunRecord, mend=MEND).run
        if not RUN_NAME.fullmatch(name):
            raise BenchError(f"{file} does not say which run it is")
        yield Run.read(folder.rename(folder.with_name(name)))


@contextmanager
def unpacked(file: Path, allowed: re.Pattern[str]) -> Iterator[Path]:
    """A folder with the members of a zip file, for as long as the block lasts.

    Raises:
        BenchError: it is no zip file, is compressed, or has members of other names or larger than itself; or what the block
            reads in it is damaged, or of another version.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "unpacked"
        folder.mkdir()
        try:
            with open_regular(file, follow=True) as opened, zipfile.ZipFile(opened) as archive:
                members = archive.infolist()
                _check(file, members, allowed)
                for member in members:
                    (folder / member.filename).write_bytes(archive.read(member))
        except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as problem:
            raise BenchError(f"{file} is not a file that `bench export` wrote ({problem})") from problem
        try:
            yield folder
        except DamagedFileError as problem:
            raise BenchError(f"{file}: {problem.path.name} is damaged; {MEND}") from problem
        except OtherVersionError as problem:
            raise BenchError(f"{file} {problem.reason}") from problem


def _check(file: Path, members: Sequence[zipfile.ZipInfo], allowed: re.Pattern[str]) -> None:
    names = [member.filename for member in members]
    if len(names) > MOST_FILES or len(set(names)) != len(names) or not all(allowed.fullmatch(name) for name in names):
        raise ValueError("it holds other files")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > min(file.stat().st_size, LARGEST_FILE):
        raise ValueError("its members overlap, or are too large")


def _pack(contents: Mapping[str, bytes], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name, content in contents.items():  # without times: the same run, the same file
                archive.writestr(zipfile.ZipInfo(name), content)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
