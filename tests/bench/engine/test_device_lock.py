"""Chunks share a device, solo trials have it alone, and none waits for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from bench.engine.device_lock import DeviceLock
from bench.errors import BenchError, WorkerError

HOLDER = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from bench.engine.device_lock import DeviceLock
with DeviceLock("some device").alone():
    print("held", flush=True)
    input()
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceLock:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return DeviceLock("some device")


def test_solo_waits_for_chunks_and_later_chunks_wait_for_it(lock: DeviceLock) -> None:
    """Who is told to wait is waiting: `solo_waits` and `late_waits` count it."""
    events: list[str] = []
    solo_waits, late_waits = threading.Semaphore(0), threading.Semaphore(0)

    def alone() -> None:
        with DeviceLock("some device", lambda text: solo_waits.release()).alone():
            events.append("alone")
            late_waits.acquire()  # past the door, and not in the room
            events.append("alone ends")

    def late() -> None:
        with DeviceLock("some device", lambda text: late_waits.release()).shared():
            events.append("late")

    solo, chunk = threading.Thread(target=alone), threading.Thread(target=late)
    with lock.shared(), lock.shared():
        solo.start()
        solo_waits.acquire()
        chunk.start()
        late_waits.acquire()  # at the door
        events.append("chunks end")
    solo.join()
    chunk.join()
    assert events == ["chunks end", "alone", "alone ends", "late"]


@pytest.mark.process
def test_a_killed_process_frees_the_device(lock: DeviceLock, tmp_path: Path) -> None:
    told: list[str] = []

    def kill(text: str) -> None:
        """Whoever is told has to wait: the device is not free yet."""
        told.append(text)
        holder.kill()

    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with DeviceLock("some device", kill).shared():
        assert told == ["waiting for another bench that uses this device"]
    assert holder.wait() == -signal.SIGKILL
    holder.stdin.close()
    holder.stdout.close()


def test_the_lock_is_one_for_all_users_whatever_their_umask(lock: DeviceLock, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with lock.alone():
            files = sorted(tmp_path.iterdir())
    finally:
        os.umask(before)
    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in files] == [
        ("bench-some-device.door", 0o644),
        ("bench-some-device.room", 0o644),
    ]


def test_nobody_need_write_to_it(lock: DeviceLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another user's, in a folder that everybody writes to: the system refuses even to open it for writing."""
    with lock.shared():
        pass
    opened: list[int] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, *mode: opened.append(flags) or real(path, flags, *mode))
    with lock.alone():
        pass
    assert opened
    assert not [flags for flags in opened if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC)]
    assert not [flags for flags in opened if flags & os.O_CREAT and not flags & os.O_EXCL]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_lies_in_its_place_is_named(lock: DeviceLock, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bench-some-device.room"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "link": lambda: path.symlink_to(tmp_path)}[kind]()
    with pytest.raises(BenchError, match=r"bench-some-device.room .*remove that, or name another folder") as told, lock.alone():
        pass
    assert "TMPDIR" in str(told.value)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EACCES])
def test_a_system_that_refuses_is_named(lock: DeviceLock, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BenchError, match=r"some-device.door .*local disk"), lock.shared():
        pass


def test_whoever_waits_gives_up_when_the_command_is_stopped(lock: DeviceLock) -> None:
    told: list[str] = []
    impatient = DeviceLock("some device", told.append, lambda: bool(told))
    with lock.alone(), pytest.raises(WorkerError, match="stopped while it waited"), impatient.shared():
        pass
    with impatient.shared():  # nobody has it any more
        pass
