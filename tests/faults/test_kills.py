"""kill -9 of the command, of a worker or of all, at any moment: the same command ends with the numbers of an undisturbed run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest

from bench.metrics.timing import FEWEST_TIMED, MOST_TIMED
from bench.scoring.rows import rows
from bench.store.runs import Run
from bench.store.store import Store

BENCH = str(Path(sys.executable).parent / "bench")
METHOD = "finetune"
WHOM = ("command", "worker", "all")
BUSY = """from bench import Method


class Busy(Method):
    def unlearn(self, model, data, trial):
        while True:
            pass
"""


@pytest.fixture(scope="module")
def whole(filled, run_two_chunks) -> Path:
    """A store whose one run of the method has two chunks."""
    shutil.rmtree(_folder(filled.path))
    run_two_chunks(filled.path)
    return filled.path


def _folder(store: Path) -> Path:
    return next((store / "runs").glob(f"{METHOD}-*"))


def _sums(store: Path) -> list[str]:
    """Of the outputs of a run whose chunks are all finished."""
    record = Run.read(_folder(store)).record
    assert len(record.finished_chunks) == len(record.chunks) == 2
    return [chunk.sha256 for chunk in record.finished_chunks]


def _command(plugin: str, store: Path, *options: str) -> list[str]:
    where = ("--task", "age-tiny", "--models", "16", "--store", str(store))
    return [BENCH, "run", "--plugin", plugin, *where, *options]


def _start(store: Path, workers: int, told: int | IO[bytes] = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    command = _command(METHOD, store, "--workers", str(workers))
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told, start_new_session=True)


def _kill(running: subprocess.Popen[bytes], whom: str, rng: np.random.Generator) -> None:
    """SIGKILL to the command, to one of its processes, or to all of them."""
    with suppress(psutil.Error):
        family = psutil.Process(running.pid).children(recursive=True)
        victims = {"command": [], "worker": list(rng.permutation(np.array(family, dtype=object))[:1]), "all": family}[whom]
        for process in victims:
            with suppress(psutil.Error):
                process.kill()
        if whom != "worker":
            running.kill()


def _check(store: Path, finished: dict[str, int]) -> dict[str, int]:
    """Everything can be read; what was finished before still is, untouched."""
    found, problems = rows(Store(store))
    assert problems == []
    assert found
    folders = list((store / "runs").glob(f"{METHOD}-*"))
    if not folders:
        return finished
    chunks = Run.read(folders[0]).record.finished_chunks if (folders[0] / "run.json").exists() else []
    now = {chunk.file: (folders[0] / chunk.file).stat().st_mtime_ns for chunk in chunks}
    assert all(now.get(name) == written for name, written in finished.items())
    return now


def _campaign(whole: Path, tmp_path: Path, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Kill at random moments of a run until as many kills are done; whenever one ends, start anew."""
    expected, rng = _sums(whole), np.random.default_rng(kills)
    store = tmp_path / "store"
    shutil.copytree(whole, store)
    shutil.rmtree(_folder(store))
    done, completed, finished, length = 0, 0, {}, 5.0
    while done < kills:
        begin = time.monotonic()
        running = _start(store, workers=1 + done % 2)
        moment, whom = rng.uniform(0, length), WHOM[done % 3]
        try:
            running.wait(moment)
        except subprocess.TimeoutExpired:
            _kill(running, whom, rng)
            done += 1
            running.wait()
        else:
            length = time.monotonic() - begin
        finished = _check(store, finished)
        path = next(iter((store / "runs").glob(f"{METHOD}-*/run.json")), None)
        record = Run.read(path.parent).record if path else None
        if record and len(record.finished_chunks) == len(record.chunks):
            assert _sums(store) == expected
            completed += 1
            shutil.rmtree(_folder(store))
            finished = {}
    assert _start(store, 2).wait() == 0
    assert _sums(store) == expected
    assert not [path for path in store.rglob(".*.*-*") if path.suffix != ".lock"]
    with capsys.disabled():
        print(
            f"\n{kills} kills; {completed + 1} runs ended in spite of them with the undisturbed run's numbers; no chunk was lost"
        )


def test_a_few_kills(whole, tmp_path: Path, until, left_behind, capsys: pytest.CaptureFixture[str]) -> None:
    _campaign(whole, tmp_path, 3, capsys)
    until(lambda: not left_behind())


@pytest.mark.slow
def test_a_hundred_kills(whole, tmp_path: Path, until, left_behind, capsys: pytest.CaptureFixture[str]) -> None:
    _campaign(whole, tmp_path, 102, capsys)
    until(lambda: not left_behind())


def test_workers_end_with_a_killed_command(filled, tmp_path: Path, until, ended) -> None:
    """Also one that is busy for ever, in C code or not."""
    plugin = tmp_path / "busy.py"
    plugin.write_text(BUSY)
    command = _command(str(plugin), filled.path, "--budget", "1000s")
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: len(_busy(running.pid)) >= 2)
        family = psutil.Process(running.pid).children(recursive=True)
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    ended(family)


def _busy(command: int) -> list[psutil.Process]:
    """Its descendants that have been computing for a while."""
    busy = []
    for process in psutil.Process(command).children(recursive=True):
        with suppress(psutil.Error):
            busy += [process] * (process.cpu_times().user > 1)
    return busy


def test_a_clock_that_jumps_backwards(whole, tmp_path: Path) -> None:
    """time.time() runs backwards in every process of the command."""
    store = tmp_path / "store"
    shutil.copytree(whole, store)
    expected = _sums(store)
    shutil.rmtree(_folder(store))
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nstart = time.time()\ntime.time = lambda: 2 * start - 100 * time.monotonic()\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ['PYTHONPATH']}"}
    subprocess.run(_command(METHOD, store), env=environment, check=True, capture_output=True)
    assert _sums(store) == expected


def test_two_commands_at_once_do_nothing_twice(whole, tmp_path: Path) -> None:
    """One reference to train and one run to make: each is made once."""
    store = tmp_path / "store with späces"
    shutil.copytree(whole, store)
    expected = _sums(store)
    shutil.rmtree(_folder(store))
    (lost,) = store.glob("references/*/*/retrained-0008-0015.npz")
    lost.unlink()
    with (tmp_path / "told").open("wb") as told:
        commands = [_start(store, 1, told) for _ in range(2)]
    assert [command.wait() for command in commands] == [0, 0]
    assert "waiting for another bench" in (tmp_path / "told").read_text()
    assert _sums(store) == expected
    assert lost.is_file()
    assert len(list((store / "runs").glob(f"{METHOD}-*"))) == 1
    assert len(Run.read(_folder(store)).record.timed) in range(FEWEST_TIMED, MOST_TIMED + 1)
