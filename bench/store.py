"""Runs and references on disk: atomic, checksummed, self-describing. What is read may come from a stranger."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from bench.errors import BenchError, one_line

SCHEMA_VERSION = 1
LARGEST_RECORD, LARGEST_FILE = 2**26, 2**32  # bytes
Record = dict[str, Any]
Schema = Callable[[Record], str]  # what is wrong with a record; "" if nothing is
_TEMPORARY = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}")


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
        _sweep(folder)
        yield
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    """Remove what killed processes were writing."""
    for path in folder.glob(".*.*-*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and not psutil.pid_exists(int(match[1])):
            path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> str:
    """Write a file so that it is whole or absent, whatever happens; returns its SHA-256.

    `durable=False`: a power failure may leave it empty, which is good enough for what can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return hashlib.sha256(content).hexdigest()


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it cannot be read, or is a link, a pipe, a device or larger than `largest` bytes.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if found.st_size > largest:
            raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, at most {largest} are read")
        return file.read(largest)


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file.

    Raises:
        DamagedFileError: it is missing or its checksum differs.
    """
    try:
        content = read_bytes(path, LARGEST_FILE)
    except OSError as problem:
        raise DamagedFileError(path, problem.strerror or str(problem)) from problem
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedFileError(path, "its checksum differs")
    return content


class DamagedFileError(BenchError):
    """A file of the store is not what its record says."""

    def __init__(self, path: Path, reason: str, mend: str = "") -> None:
        hint = mend or f"repeat the command that made it, or delete the folder {path.parent}"
        super().__init__(f"damaged file {path} ({reason}); {hint}")
        self.path = path


def write_record(path: Path, record: Record, *, twice: bool = False) -> None:
    """Write a JSON record with the schema version and its own checksum; `twice`: also a copy, for `restored`."""
    body = {"schema_version": SCHEMA_VERSION, **record}
    content = (json.dumps({**body, "sha256": _digest(body)}, indent=1, allow_nan=False) + "\n").encode()
    write_bytes(path, content)
    if twice:
        write_bytes(_copy_of(path), content)


def restored(path: Path, schema: Schema) -> bool:
    """Whether a damaged record had a good copy, which has taken its place; the damaged one is set aside."""
    try:
        read_record(_copy_of(path), schema)
    except BenchError:
        return False
    if path.exists():
        path.rename(path.with_suffix(".json.damaged"))
    write_bytes(path, read_bytes(_copy_of(path), LARGEST_RECORD))
    return True


def read_record(path: Path, schema: Schema | None = None, mend: str = "") -> Record:
    """Read a JSON record; `mend` says what to do if it is damaged.

    Raises:
        DamagedFileError: it is not JSON, its checksum differs, or it does not fit the schema.
        BenchError: a newer version wrote it.
    """
    try:
        record = dict(json.loads(read_bytes(path, LARGEST_RECORD), parse_constant=_refuse))
        version = int(record["schema_version"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as problem:
        raise DamagedFileError(path, one_line(str(problem)), mend) from problem
    if version > SCHEMA_VERSION:
        raise BenchError(
            f"{path} was written by a newer bench (schema {version}, this one reads {SCHEMA_VERSION}); upgrade unlearning-bench"
        )
    if not _is_intact(record):
        raise DamagedFileError(path, "its checksum differs", mend)
    wrong = schema(record) if schema else ""
    if wrong:
        raise DamagedFileError(path, one_line(wrong), mend)
    return record


def _copy_of(path: Path) -> Path:
    return path.with_suffix(".copy.json")


def _is_intact(record: Record) -> bool:
    """Takes the checksum out of a record that was read, and compares it."""
    try:
        return bool(record.pop("sha256", "") == _digest(record))
    except ValueError:  # 1e999 is infinite, which no record of ours holds
        return False


def _digest(record: Record) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _refuse(constant: str) -> float:
    """JSON has no NaN and no infinity; Python's reader would take them."""
    raise ValueError(f"{constant} is not JSON")
