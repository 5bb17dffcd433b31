"""Files are whole or absent, and what is read is checked."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.store.fields import VERSION, Record
from bench.store.files import (
    DamagedFileError,
    EarlierVersionError,
    OtherVersionError,
    append,
    as_record,
    locked,
    read_bytes,
    read_checked,
    read_fields,
    read_record,
    restored,
    set_aside,
    write_bytes,
    write_record,
)


class Note(Record, frozen=True, kw_only=True):
    """A record."""

    a: int


class Mixed(Record, frozen=True, kw_only=True):
    """A record with a field of every kind."""

    seed: int = 0
    name: str = "scrub"
    shares: tuple[float | bool | None, ...] = (0.25, 1e-9, None, True)


REFUSED = {
    errno.EACCES: r"\(Permission denied\): it is .+'s; have that allowed with chmod, or use a folder of your own$",
    errno.EROFS: r"\(Read-only file system\): it is .+'s; have that allowed with chmod, or use a folder of your own$",
    errno.ENOLCK: r"\(No locks available\); use a folder on a local disk$",
    errno.ENOSYS: r"\(Function not implemented\); use a folder on a local disk$",
}


@pytest.mark.parametrize("number", REFUSED)
def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(lock: FileLock, **_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(BenchError, match=f"^{tmp_path}/.lock cannot be locked {REFUSED[number]}"), locked(tmp_path, print):
        pass


def test_a_full_disk_is_still_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(lock: FileLock, **_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileLock, "acquire", full)
    with pytest.raises(OSError, match="No space"), locked(tmp_path, print):
        pass


def test_the_lock_of_a_shared_folder_is_for_all_who_may_write_there(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with locked(tmp_path, print):
            assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == 0o666
    finally:
        os.umask(before)


def test_what_another_user_left_half_written_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".run.json.999999999-01234567").write_text("half")

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with locked(tmp_path, print):
        pass


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.store.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_what_can_be_made_again_need_not_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("bench.store.files.os.fsync", synced.append)
    write_bytes(tmp_path / "a", b"content", durable=False)
    assert synced == []
    write_bytes(tmp_path / "a", b"content")
    assert len(synced) == 1


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"\0" + b[1:], lambda b: b""])
def test_damage_is_found(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.npz"
    checksum = write_bytes(path, b"content")
    assert read_checked(path, checksum) == b"content"
    path.write_bytes(damage(b"content"))
    with pytest.raises(DamagedFileError, match=r"a\.npz"):
        read_checked(path, checksum)
    path.unlink()
    with pytest.raises(DamagedFileError, match="No such file"):
        read_checked(path, checksum)


def test_records_carry_version_and_checksum(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, Note(a=1))
    assert read_record(path, Note) == Note(a=1)
    fields = json.loads(path.read_text())
    assert fields.keys() == {"schema_version", "a", "sha256"}
    assert fields["schema_version"] == VERSION
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"a": 1}',
        '{"schema_version": "2", "a": 1}',
        '{"schema_version": 2.5, "a": 1}',
        '{"schema_version": true, "a": 1}',
        '{"schema_version": 1e999}',
        '{"schema_version": 2, "a": 1}',
        '{"schema_version": 2, "a": 1, "sha256": null}',
        '{"schema_version": 2, "a": 1e999}',
        '{"schema_version": 2, "a": NaN}',
        '{"schema_version": 2, "a": "\\ud800"}',
        '{"schema_version": 2, "a": ' + "1" * 10_000 + "}",
        "[" * 100_000,
    ],
    ids=range(15),
)
def test_other_texts_are_damaged_records(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DamagedFileError) as caught:
        read_record(tmp_path / "run.json", Note)
    assert "\n" not in str(caught.value)
    assert f"or delete the folder {tmp_path}" in str(caught.value)


def test_nesting_however_deep_raises_nothing_else(tmp_path: Path) -> None:
    """There is a depth that can be read, and not be written again for the checksum."""
    for depth in range(800, 1001):
        (tmp_path / "run.json").write_text(f'{{"schema_version": {VERSION}, "a": {"[" * depth}{"]" * depth}}}')
        with pytest.raises(DamagedFileError):
            read_record(tmp_path / "run.json", Note)


@pytest.mark.parametrize(
    ("version", "kind", "told"),
    [
        (
            VERSION + 1,
            OtherVersionError,
            f"a newer bench (schema {VERSION + 1}, this one reads {VERSION}); upgrade unlearning-bench",
        ),
        (VERSION - 1, EarlierVersionError, f"an earlier bench (schema {VERSION - 1}, this one reads {VERSION}); begin again"),
        (0, EarlierVersionError, f"an earlier bench (schema 0, this one reads {VERSION}); begin again"),
    ],
)
def test_other_versions_are_refused_whatever_they_hold(
    tmp_path: Path, forger, version: int, kind: type[BenchError], told: str
) -> None:
    path = tmp_path / "run.json"
    forger.write(path, {"b": "another form"}, version)
    with pytest.raises(kind) as caught:
        read_record(path, Note, mend="begin again")
    assert isinstance(caught.value, EarlierVersionError) is (version < VERSION)
    assert str(caught.value) == f"{path} was written by {told}"
    path.write_text(json.dumps({"schema_version": version}))  # what its checksum is made from is for that version to know
    with pytest.raises(kind, match="was written by"):
        read_record(path, Note)


@pytest.mark.parametrize("version", [-1, "1", "2", 1.9, 2.0, True, None, [2]])
def test_what_is_no_version_is_damage(tmp_path: Path, forger, version: object) -> None:
    forger.write(tmp_path / "run.json", {"a": 1}, version)
    with pytest.raises(DamagedFileError, match="schema_version"):
        read_record(tmp_path / "run.json", Note)


def test_what_to_do_about_an_earlier_version_is_said(tmp_path: Path, forger) -> None:
    forger.write(tmp_path / "run.json", {"a": 1}, VERSION - 1)
    with pytest.raises(BenchError, match="move it away, or use another --store"):
        read_record(tmp_path / "run.json", Note)


def test_records_that_do_not_fit_are_damaged(tmp_path: Path, forger) -> None:
    path = tmp_path / "run.json"
    forger.write(path, {"a": "one"})
    with pytest.raises(DamagedFileError) as caught:
        read_record(path, Note, mend="begin again")
    assert str(caught.value) == f"damaged file {path} (Expected `int`, got `str` - at `$.a`); begin again"
    assert caught.value.path == path


def test_a_changed_field_is_found(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, Note(a=1))
    path.write_text(path.read_text().replace('"a": 1', '"a": 2'))
    with pytest.raises(DamagedFileError, match="its checksum differs"):
        read_record(path, Note)


def test_records_can_be_looked_at_before_their_form_is_known(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, Note(a=1))
    fields = read_fields(path)
    assert fields["a"] == 1
    assert as_record(path, fields, Note) == Note(a=1)
    with pytest.raises(DamagedFileError, match=r"Expected `str`, got `int` - at `\$\.a`\); begin again"):
        as_record(path, fields, OtherNote, "begin again")


class OtherNote(Record, frozen=True, kw_only=True):
    """A record of another form."""

    a: str


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_of_a_record_is_found_or_means_nothing(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "run.json"
    write_record(path, Mixed())
    damaged = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[position // 8] ^= 1 << position % 8
    path.write_bytes(damaged)
    with suppress(BenchError):  # damaged, or of another version
        assert read_record(path, Mixed) == Mixed()


def test_what_cannot_be_read_back_leaves_the_old_record(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, Note(a=1), twice=True)
    with pytest.raises(BenchError) as caught:
        write_record(path, Note(a="one"), twice=True)
    assert str(caught.value) == f"{path} cannot be written: Expected `int`, got `str` - at `$.a`"
    assert read_record(path, Note) == Note(a=1)
    assert read_record(tmp_path / "run.copy.json", Note) == Note(a=1)


def test_a_damaged_record_has_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, Note(a=1), twice=True)
    path.write_text("{")
    assert restored(path, Note)
    assert read_record(path, Note) == Note(a=1)
    assert (tmp_path / "run.json.damaged").read_text() == "{"
    (tmp_path / "run.copy.json").write_text("{")
    assert not restored(path, Note)
    assert read_record(path, Note) == Note(a=1)


def test_a_lost_record_has_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, Note(a=1), twice=True)
    path.unlink()
    assert restored(path, Note)
    assert read_record(path, Note) == Note(a=1)
    assert not (tmp_path / "run.json.damaged").exists()


@pytest.mark.parametrize(("fields", "version"), [({"a": "one"}, VERSION), ({"a": 1}, VERSION - 1), ({"a": 1}, VERSION + 1)])
def test_a_copy_that_does_not_fit_is_not_taken(tmp_path: Path, forger, fields: dict, version: int) -> None:
    (tmp_path / "run.json").write_text("{")
    forger.write(tmp_path / "run.copy.json", fields, version)
    assert not restored(tmp_path / "run.json", Note)
    assert (tmp_path / "run.json").read_text() == "{"


def test_what_is_set_aside_is_kept(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    set_aside(tmp_path / "run.json")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"run.json.damaged": "{"}


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "device"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.json"
    if kind == "link":
        (tmp_path / "other").write_text("secret")
        path.symlink_to(tmp_path / "other")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/zero")
    with pytest.raises(OSError, match=r"regular|links|directory"):
        read_bytes(path, 100)
    with pytest.raises(DamagedFileError):
        read_record(path, Note)


def test_links_are_followed_where_the_user_gives_the_file_but_pipes_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_bytes(tmp_path / "link", 100, follow=True) == b"x"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        read_bytes(tmp_path / "pipe", 100, follow=True)


def test_a_small_file_takes_little_memory_however_large_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 1000)
    tracemalloc.start()
    try:
        assert len(read_bytes(tmp_path / "file", 2**32)) == 1000
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(DamagedFileError, match="at most"):
        read_record(path, Note)
    with pytest.raises(DamagedFileError, match="at most"):
        read_checked(path, "")


@pytest.mark.process
def test_what_killed_processes_left_is_swept_up(tmp_path: Path) -> None:
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    stale, busy = tmp_path / f".a.npz.{process.stdout.strip()}-0123abcd", tmp_path / f".a.npz.{os.getpid()}-0123abcd"
    for path in (stale, busy):
        path.write_text("half")
    with locked(tmp_path, lambda text: None):
        assert not stale.exists()
        assert busy.exists()


HOLDER = """
import sys
from pathlib import Path
from bench.store.files import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
    Path(sys.argv[1], "done").write_text("done")
"""


@pytest.mark.process
def test_a_folder_is_one_process_at_a_time(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        waited: list[str] = []

        def let_go(text: str) -> None:
            waited.append(text)
            holder.stdin.close()

        with locked(tmp_path, let_go):
            assert (tmp_path / "done").read_text() == "done"
    assert waited == [f"waiting for another bench that works on {tmp_path}"]


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    """A site is served, and a store shared, by other users than the one who wrote it."""
    write_bytes(tmp_path / "a", b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_cannot_be_appended_is_no_reason_to_stop(tmp_path: Path) -> None:
    append(tmp_path / "no such folder" / "log.txt", b"words", 100)
    assert not (tmp_path / "no such folder").exists()


def test_a_link_is_not_appended_to(tmp_path: Path) -> None:
    """A plugin could put a link to anything in the place of its log."""
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "log.txt").symlink_to(tmp_path / "precious")
    append(tmp_path / "log.txt", b"words", 100)
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("read", [False, True])
def test_a_pipe_is_not_appended_to(tmp_path: Path, read: bool) -> None:
    """It would be waited for, and whoever reads it would get what is not theirs."""
    os.mkfifo(tmp_path / "log.txt")
    reader = os.open(tmp_path / "log.txt", os.O_RDONLY | os.O_NONBLOCK) if read else -1
    append(tmp_path / "log.txt", b"words", 100)
    if read:
        assert os.read(reader, 10) == b""
        os.close(reader)
