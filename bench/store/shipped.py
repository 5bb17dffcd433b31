"""References that come with the package, one folder each as a store has it: read in place, never copied."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from bench.errors import BenchError
from bench.store.files import DamagedFileError, OtherVersionError, read_checked, read_record
from bench.store.reference_records import ReferenceRecord, ReferenceTask

FOLDER = Path(__file__).parent / "packs"
MEND = "install unlearning-bench again"


def shipped_record(task: ReferenceTask, device: str, stack_size: int | None = None) -> ReferenceRecord | None:
    """The record of the reference that comes with the package for a task and a kind of device; None: there is none.

    Args:
        task: by its name a reference is looked for, by its key it must fit.
        device: kind of device.
        stack_size: in which retrained models must have been trained, so that others can be added; None: any.

    Raises:
        BenchError: there is one, and it is damaged, or of another task, device or version; the message says why.
    """
    found = _folder(task.name)
    if found is None:
        return None
    try:
        record = read_record(found / ReferenceRecord.NAME, ReferenceRecord, MEND)
    except OtherVersionError as problem:
        raise BenchError(problem.reason) from problem
    if record.device != device:
        return None
    if record.task is None or record.task.key != task.key:
        raise BenchError("it is of another version of the task")
    if stack_size not in (None, record.stack_size):
        raise BenchError(f"it was trained in stacks of {record.stack_size}, and this machine needs stacks of {stack_size}")
    for name in record.files:
        read_shipped(record, name)
    return record


def read_shipped(record: ReferenceRecord, name: str) -> bytes:
    """A file of a reference that comes with the package: what `record` says, or what this version of the package has instead.

    Runs are safe from the latter: they name the outputs that they were compared with, and labels belong to the task's key.

    Raises:
        DamagedFileError: it is not there, or is neither.
    """
    folder = _folder(record.task.name if record.task else "") or FOLDER
    expected = record.files.get(name, "")
    try:
        return read_checked(folder / name, expected)
    except DamagedFileError as problem:
        ours = _checksum(folder, name)
        if ours not in ("", expected):
            return read_shipped(replace(record, files={name: ours}), name)
        raise DamagedFileError(folder / name, problem.reason, f"{MEND}, or train your own with --reference train") from problem


def _checksum(folder: Path, name: str) -> str:
    """What the package's own record says of a file; "" if nothing."""
    try:
        return read_record(folder / ReferenceRecord.NAME, ReferenceRecord, MEND).files.get(name, "")
    except BenchError:
        return ""


def _folder(task: str) -> Path | None:
    """By the name of the task; a name that a stranger wrote leads nowhere else."""
    return next((found for found in FOLDER.glob("*") if found.name == task), None)
