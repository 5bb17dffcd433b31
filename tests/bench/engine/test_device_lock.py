"""Chunks share a device, solo trials have it alone, and none waits for ever."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from bench.engine.device_lock import DeviceLock

HOLDER = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from bench.engine.device_lock import DeviceLock
with DeviceLock("some device").alone():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceLock:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return DeviceLock("some device")


def test_solo_waits_for_chunks_and_later_chunks_wait_for_it(lock: DeviceLock) -> None:
    events: list[str] = []

    def alone() -> None:
        with lock.alone():
            events.append("alone")
            time.sleep(0.1)
            events.append("alone ends")

    def late() -> None:
        with lock.shared():
            events.append("late")

    with lock.shared(), lock.shared():
        solo = threading.Thread(target=alone)
        solo.start()
        until = time.monotonic() + 60
        while not _somebody_is_at_the_door(lock) and time.monotonic() < until:
            time.sleep(0.01)
        chunk = threading.Thread(target=late)
        chunk.start()
        time.sleep(0.3)
        events.append("chunks end")
    solo.join()
    chunk.join()
    assert events == ["chunks end", "alone", "alone ends", "late"]


def _somebody_is_at_the_door(lock: DeviceLock) -> bool:
    with lock._door.open("ab") as door:
        try:
            fcntl.flock(door.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_killed_process_frees_the_device(lock: DeviceLock, tmp_path: Path) -> None:
    told: list[str] = []

    def kill(text: str) -> None:
        """Whoever is told has to wait: the device is not free yet."""
        told.append(text)
        holder.kill()

    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with DeviceLock("some device", kill).shared():
        assert told == ["waiting for another bench that uses this device"]
    assert holder.wait() == -signal.SIGKILL
    holder.stdout.close()
