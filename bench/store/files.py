"""Files that are whole or absent, checksums, locks, and records as JSON. What is read may come from a stranger."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import psutil
from filelock import BaseFileLock, FileLock, Timeout

from bench.errors import BenchError, one_line
from bench.progress import Note
from bench.store.fields import VERSION, Envelope, R, Record, checked, in_words, plain

LARGEST_RECORD, LARGEST_FILE = 2**26, 2**32  # bytes
MEND = "move it away, or use another --store"  # what to do about a record of an earlier version
_FOR_ALL = 0o666  # rights to a lock, which is empty: whoever may write to the folder may lock it, whatever the umask of the first
_TEMPORARY = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}")
_MALFORMED = (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError)


@contextmanager
def locked(folder: Path, waiting: Note) -> Iterator[None]:
    """Have a folder to oneself among all processes; `waiting` is told if another one has it.

    Raises:
        BenchError: it cannot be locked.
    """
    lock = FileLock(folder / ".lock", mode=_FOR_ALL)
    try:
        _acquire(lock, lambda: waiting(f"waiting for another bench that works on {folder}"))
    except (OSError, NotImplementedError) as problem:
        if getattr(problem, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BenchError(f"{lock.lock_file} cannot be locked{_why_not(Path(lock.lock_file), problem)}") from problem
    try:
        _sweep(folder)
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, waiting: Callable[[], None]) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()


def _why_not(path: Path, problem: Exception) -> str:
    """Why a file cannot be locked, and what to do."""
    reason = getattr(problem, "strerror", None) or "the file system has no locks"
    if getattr(problem, "errno", 0) not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f" ({reason}); use a folder on a local disk"
    owner = "another user"
    with suppress(KeyError, OSError):  # nobody whom the system knows, or it is not there
        owner = (path if path.exists() else path.parent).owner()
    return f" ({reason}): it is {owner}'s; have that allowed with chmod, or use a folder of your own"


def _sweep(folder: Path) -> None:
    """Remove what killed processes were writing."""
    for path in folder.glob(".*.*-*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and not psutil.pid_exists(int(match[1])):
            with suppress(OSError):  # another user's, in a folder that is shared
                path.unlink()


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


def open_regular(path: Path, *, follow: bool = False) -> BinaryIO:
    """Open a regular file for reading, without waiting for anybody; with `follow`, also one that a link leads to.

    Raises:
        OSError: it cannot be read, or is a link, a pipe or a device.
    """
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)), "rb")  # noqa: SIM115 - who asks closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def read_bytes(path: Path, largest: int, *, follow: bool = False) -> bytes:
    """The content of a regular file, as `open_regular` opens it.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than `largest` bytes.
    """
    with open_regular(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise OSError(errno.EFBIG, f"it has {size} bytes, at most {largest} are read")
        return file.read(size)  # not `largest`: that much memory would be reserved for the smallest file


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


class OtherVersionError(BenchError):
    """Another bench wrote a record."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.reason = reason


class EarlierVersionError(OtherVersionError):
    """An earlier one did."""


class DamagedFileError(BenchError):
    """A file of the store is not what its record says."""

    def __init__(self, path: Path, reason: str, mend: str = "") -> None:
        hint = mend or f"repeat the command that made it, or delete the folder {path.parent}"
        super().__init__(f"damaged file {path} ({reason}); {hint}")
        self.path, self.reason = path, reason


def write_record(path: Path, record: Record, *, twice: bool = False) -> None:
    """Write a record as JSON with its version and checksum; `twice`: also a copy, for `restored`.

    Raises:
        BenchError: it is not one that could be read back; nothing is written.
    """
    try:
        body = {"schema_version": VERSION, **plain(checked(record))}
        content = msgspec.json.format(msgspec.json.encode(body | {"sha256": _digest(body)}), indent=1) + b"\n"
    except (ValueError, TypeError, RecursionError) as problem:
        raise BenchError(f"{path} cannot be written: {in_words(problem)}") from problem
    write_bytes(path, content)
    if twice:
        write_bytes(_copy_of(path), content)


def read_record(path: Path, kind: type[R], mend: str = "") -> R:
    """Read a record; `mend` says what to do if it is damaged or of an earlier version.

    Raises:
        DamagedFileError: it is not JSON, its checksum differs, or a field is not what it should be.
        EarlierVersionError: an earlier version wrote it.
        OtherVersionError: a newer version did.
    """
    return as_record(path, read_fields(path, mend), kind, mend)


def read_fields(path: Path, mend: str = "") -> dict[str, Any]:
    """Read a record whose form is not known yet; the rest is as `read_record` does it."""
    try:
        content: dict[str, Any] = msgspec.json.decode(read_bytes(path, LARGEST_RECORD), type=dict)
        envelope = msgspec.convert(content, Envelope)
        intact = envelope.sha256 == _digest(content)
    except _MALFORMED as problem:
        raise DamagedFileError(path, one_line(str(problem)), mend) from problem
    _check_version(path, envelope.schema_version, mend or MEND)
    if not intact:
        raise DamagedFileError(path, "its checksum differs", mend)
    return content


def as_record(path: Path, content: dict[str, Any], kind: type[R], mend: str = "") -> R:
    """What `read_fields` read, as a record.

    Raises:
        DamagedFileError: a field is not what it should be.
    """
    try:
        return msgspec.convert(content, kind)
    except (ValueError, RecursionError) as problem:
        raise DamagedFileError(path, in_words(problem), mend) from problem


def restored(path: Path, kind: type[Record]) -> bool:
    """Whether a damaged record had a good copy, which has taken its place; the damaged one is set aside."""
    with suppress(BenchError):
        read_record(_copy_of(path), kind)
        if path.exists():
            set_aside(path)
        write_bytes(path, read_bytes(_copy_of(path), LARGEST_RECORD))
        return True
    return False


def set_aside(path: Path) -> None:
    """Keep a damaged record out of the way."""
    path.rename(path.with_suffix(".json.damaged"))


def _check_version(path: Path, version: int, mend: str) -> None:
    """Refuse what another version wrote, and say what to do."""
    versions = f"(schema {version}, this one reads {VERSION})"
    if version > VERSION:
        raise OtherVersionError(path, f"was written by a newer bench {versions}; upgrade unlearning-bench")
    if version < VERSION:
        raise EarlierVersionError(path, f"was written by an earlier bench {versions}; {mend}")


def _copy_of(path: Path) -> Path:
    return path.with_suffix(".copy.json")


def _digest(content: dict[str, Any]) -> str:
    """SHA-256 of a record without its checksum."""
    body = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


def append(path: Path, text: bytes, most: int) -> None:
    """Append to a file, up to so many bytes; what cannot be written, or is a link to elsewhere, is no reason to lose a trial."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe there would block for ever
    with suppress(OSError), open(os.open(path, flags, 0o644), "ab") as file:
        size = os.fstat(file.fileno()).st_size
        if size < most and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.write(text if size + len(text) < most else text[: most - size] + b"\n(the rest is left out)\n")
