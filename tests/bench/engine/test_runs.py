"""Solo trials: timed when every trial is finished, and again after a failure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.engine.progress import Progress
from bench.engine.runs import Run, _time_solo
from bench.errors import WorkerError

SESSION = SimpleNamespace(progress=Progress())


class Stub:
    """Answers like the engine's trials, or fails at one of them."""

    def __init__(self, fails_at: int = -1) -> None:
        self.fails_at = fails_at
        self.asked: list[int] = []

    def solo(self, trial):
        if trial == self.fails_at:
            raise WorkerError("no luck")
        self.asked.append(trial)
        return {"trial": trial, "seconds": 1.0, "phases": {}}

    def log(self, problem):
        """Nothing to keep."""


@pytest.fixture
def current(tmp_path: Path) -> Run:
    chunks = [{"trials": list(range(8)), "file": "a", "sha256": "b"}]
    return Run(tmp_path, {"method": {"name": "stub", "control": False}, "models": 8, "chunks": chunks, "solo": []})


def test_three_extra_trials_are_timed(current: Run) -> None:
    trials = Stub()
    _time_solo(SESSION, trials, current)
    assert trials.asked == [8, 9, 10]
    assert current.complete


def test_a_failed_solo_trial_is_tried_again_and_the_others_are_not(current: Run) -> None:
    _time_solo(SESSION, Stub(fails_at=9), current)
    assert not current.complete
    assert current.first_failure() == "no luck"
    again = Stub()
    _time_solo(SESSION, again, Run(current.folder, current.record))
    assert again.asked == [9, 10]
    assert current.complete
    assert current.first_failure() == ""


def test_unfinished_runs_are_not_timed(current: Run) -> None:
    del current.record["chunks"][0]["file"]
    trials = Stub()
    _time_solo(SESSION, trials, current)
    assert trials.asked == []
