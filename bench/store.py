"""Runs and references on disk: atomic, checksummed, self-describing."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.errors import BenchError

SCHEMA_VERSION = 1
Record = dict[str, Any]


class Store:
    """A folder of results.

    `store.json` names the schema; `references/TASK/DEVICE/` and `runs/RUN/` hold a JSON record each and npz files whose
    checksums the record lists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        marker = path / "store.json"
        if marker.exists():
            read_record(marker)

    def prepare(self) -> None:
        """Make the store if it does not exist, and find out now whether it can be written to."""
        try:
            for folder in (self.references, self.runs):
                folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(13, "no write permission")
            if not (self.path / "store.json").exists():
                write_record(self.path / "store.json", {})
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

    def run_folders(self) -> Iterator[Path]:
        """Folders of all runs that have a record."""
        return (record.parent for record in sorted(self.runs.glob("*/run.json")))


@contextmanager
def locked(folder: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Have a folder to oneself among all processes; `waiting` is told if another one has it."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting(f"waiting for another bench that works on {folder}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_bytes(path: Path, content: bytes) -> str:
    """Write a file so that it is whole or absent, whatever happens; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return hashlib.sha256(content).hexdigest()


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file.

    Raises:
        DamagedFileError: it is missing or its checksum differs.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise DamagedFileError(path, problem.strerror or "unreadable") from problem
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedFileError(path, "its checksum differs")
    return content


class DamagedFileError(BenchError):
    """A file of the store is not what its record says."""

    def __init__(self, path: Path, reason: str, mend: str = "") -> None:
        hint = mend or f"repeat the command that made it, or delete the folder {path.parent}"
        super().__init__(f"damaged file {path} ({reason}); {hint}")
        self.path = path


def write_record(path: Path, record: Record) -> None:
    """Write a JSON record with the schema version."""
    content = {"schema_version": SCHEMA_VERSION, **record}
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_record(path: Path, needs: Sequence[str] = (), mend: str = "") -> Record:
    """Read a JSON record; `mend` says what to do if it is damaged.

    Raises:
        DamagedFileError: it is not JSON, or lacks what it needs.
        BenchError: a newer version wrote it.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        version = int(record["schema_version"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise DamagedFileError(path, str(problem), mend) from problem
    if version > SCHEMA_VERSION:
        raise BenchError(
            f"{path} was written by a newer bench (schema {version}, this one reads {SCHEMA_VERSION}); upgrade unlearning-bench"
        )
    absent = [key for key in needs if key not in record]
    if absent:
        raise DamagedFileError(path, f"it lacks {absent[0]!r}", mend)
    return dict(record)


def _refuse(constant: str) -> float:
    """JSON has no NaN and no infinity; Python's reader would take them."""
    raise ValueError(f"{constant} is not JSON")
