"""Whoever interrupts a command sees one line: while it imports itself, in its first seconds, while it works or waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.cli import start
from bench.engine.device_lock import DeviceLock
from bench.progress import Bars

BENCH = str(Path(sys.executable).parent / "bench")
STOPPED = "bench: stopped; what is finished is kept, the same command goes on from there\n"
SLOW = '''"""Never ends."""
from pathlib import Path
from threading import Event
from bench import Method


class Slow(Method):
    def unlearn(self, model, data, trial):
        Path({mark!r}).touch()
        Event().wait()
'''


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """This process stays as it is; what would have been done with interruptions from now on."""
    handlers: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(signal, "signal", lambda number, handler: handlers.append(handler))
    return handlers


def test_while_it_imports_itself(kept: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "bench.cli.main", SimpleNamespace(main=interrupted))
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == STOPPED
    assert kept == [signal.SIG_IGN]


def test_in_a_finaliser_it_comes_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    begun: list[Callable[[], None]] = []
    timer = lambda seconds, function: SimpleNamespace(start=lambda: begun.append(function))  # noqa: E731
    monkeypatch.setattr(threading, "Timer", timer)
    start._told_again(SimpleNamespace(exc_type=KeyboardInterrupt))
    assert begun == [start._thread.interrupt_main]
    assert capsys.readouterr().err == ""


def test_a_bar_stays_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes that for a terminal
    with Bars() as bars:
        bars.stage("first", 5)
        bars.stage("second", 10)(3)
        bars.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert [task.completed for task in bars._drawing.tasks] == [5, 3]


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """A command in a process group of its own, as a terminal has it, with a method that never ends."""
    mark = tmp_path / "running"
    (tmp_path / "slow.py").write_text(SLOW.format(mark=str(mark)))

    def call() -> subprocess.Popen:
        command = [
            BENCH,
            "run",
            "--plugin",
            "slow.py",
            "--task",
            "age-tiny",
            "--models",
            "8",
            "--budget",
            "600s",
            "--store",
            "store",
        ]
        return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)

    return call


def _interrupted(process: subprocess.Popen) -> str:
    """What it says when the terminal interrupts it and all that it has started."""
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130, said
    assert said.endswith(STOPPED)
    return said


def _clean(said: str) -> bool:
    """No process has told how it was interrupted."""
    return not any(word in said for word in ("Traceback", "Exception ignored", "KeyboardInterrupt", "Error"))


def test_while_the_server_of_children_imports_torch(begin, until) -> None:
    process = begin()

    def serving() -> bool:
        return any("forkserver" in " ".join(child.cmdline()) for child in psutil.Process(process.pid).children())

    until(serving)
    assert _clean(_interrupted(process))


def test_while_a_method_runs(begin, until, tmp_path: Path) -> None:
    process = begin()
    until((tmp_path / "running").exists)
    assert _clean(_interrupted(process))


def test_while_it_waits_for_the_device(begin, tmp_path: Path) -> None:
    with DeviceLock("cpu").alone():
        process = begin()
        assert process.stderr
        first = ""
        while "waiting for another bench that uses this device" not in first:
            first += process.stderr.readline()
        assert _clean(first + _interrupted(process))
    assert tempfile.gettempdir() == os.environ["TMPDIR"]  # where both have their locks
