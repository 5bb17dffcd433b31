"""What the engine takes beyond methods and evaluation, from the phase clock of runs on a fresh store."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.store.runs import Run

BENCH = str(Path(sys.executable).parent / "bench")
NOTHING = '''"""A method that does nothing."""
from typing import ClassVar

from bench import Method


class Nothing(Method):
    """Returns the model as it is."""

    stackable: ClassVar[bool] = {stackable}

    def unlearn(self, model, data, trial):
        return model
'''


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    _run(path, "original")
    return path


def _run(store: Path, plugin: str) -> float:
    start = time.monotonic()
    subprocess.run([BENCH, "run", "--plugin", plugin, "--store", str(store)], check=True, capture_output=True)
    return time.monotonic() - start


def _phases(store: Path, method: str) -> dict[str, float]:
    """Seconds of all chunks, per phase."""
    (folder,) = (store / "runs").glob(f"{method}-*")
    chunks = Run.read(folder).record.finished_chunks
    return {phase: sum(chunk.phases[phase] for chunk in chunks) for phase in chunks[0].phases}


@pytest.mark.parametrize("stackable", [True, False])
def test_sixteen_trials_of_nothing(store: Path, tmp_path: Path, stackable: bool, capsys: pytest.CaptureFixture[str]) -> None:
    name = "stacked" if stackable else "plain"
    (tmp_path / f"{name}.py").write_text(NOTHING.format(stackable=stackable))
    seconds = _run(store, str(tmp_path / f"{name}.py"))
    phases = _phases(store, name)
    beyond = sum(phases.values()) - phases["eval"]
    shown = ", ".join(f"{phase} {value:.2f}" for phase, value in phases.items())
    with capsys.disabled():
        print(f"\n{name}: the command takes {seconds:.1f} s; workers spend {beyond:.2f} s beyond evaluation ({shown})")


def test_share_of_worker_time_that_is_method_or_evaluation(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(store, "scrub")
    phases = _phases(store, "scrub")
    share = (phases["method"] + phases["eval"]) / sum(phases.values())
    shown = ", ".join(f"{phase} {value:.2f}" for phase, value in phases.items())
    with capsys.disabled():
        print(f"\nscrub: {share:.1%} of worker time is the method or evaluation ({shown})")
