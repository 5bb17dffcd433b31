"""Chunks share a device, solo trials have it alone, and none waits for ever."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from bench.engine.device_lock import DeviceLock

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
