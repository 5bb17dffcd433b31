"""Budgets hold: methods that are too slow, that stop exactly in time, that are fast alone and slow stacked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.budget import PHASES
from bench.engine import compute, unlearning
from bench.store.records import Finished, Killed, RunRecord, Timed
from bench.store.runs import Run

HEAD = '''"""A plugin for tests of budgets."""
import time
from typing import ClassVar

from bench import Method
from bench.losses import cross_entropy


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


'''
GREEDY = "greedy"
PLUGINS = {
    "too-slow": '''class Plugin(Method):
    """Takes longer than the budget, but not so long that it is killed."""

    def unlearn(self, model, data, trial):
        work(0.6)
        return model
''',
    "far-too-slow-alone": '''class Plugin(Method):
    """Fast as a stack, and without end alone."""

    stackable: ClassVar[bool] = True

    def unlearn(self, model, data, trial):
        work(0.05 if trial.stacked else 100.0)
        return model
''',
    "slow-stacked": '''from dataclasses import dataclass


@dataclass(frozen=True)
class Plugin(Method):
    """Fast alone, and without end as a stack."""

    own: int = 0
    stackable: ClassVar[bool] = True

    def variant(self, index):
        return type(self)(own=max(index, 1))  # the first two trials are one stack, every other is alone

    def unlearn(self, model, data, trial):
        work(1000.0 if len(trial.indices) > 1 else 0.05)
        return model
''',
    "in-time": '''import torch


class Plugin(Method):
    """Trains for as long as it may."""

    uses_clock: ClassVar[bool] = True

    def unlearn(self, model, data, trial):
        optimizer = torch.optim.SGD(model.parameters(), 1e-4)
        for images, labels in trial.budget.in_time(data.retain.epochs(1000, 64)):
            optimizer.zero_grad()
            cross_entropy(model(images), labels).sum().backward()
            optimizer.step()
        return model
''',
    GREEDY: '''class Plugin(Method):
    """Takes 0.4 GB for each model of a stack; where that is too much, it waits to be killed for it."""

    stackable: ClassVar[bool] = True

    def unlearn(self, model, data, trial):
        taken = bytearray(b"x") * (400_000_000 * len(trial.indices))
        if len(trial.indices) > 4:
            time.sleep(10_000)
        return model
''',
    "cheap-alone": '''class Plugin(Method):
    """Does nothing where it may be timed, and retrains in full where it is scored."""

    stackable: ClassVar[bool] = True

    def unlearn(self, model, data, trial):
        return trial.fresh_model() if trial.stacked else model
''',
    "apart-by-a-constant": '''class Plugin(Method):
    """Cheap alone; what it adds to all logits makes seeds look far apart, and changes no answer."""

    stackable: ClassVar[bool] = True

    def unlearn(self, model, data, trial):
        from bench.weights import state

        model = trial.fresh_model() if trial.stacked else model
        bias = state(model)["fc.bias"]
        for index, seed in enumerate(trial.seeds):
            bias[index] += 3.0 * (seed % 1000)
        return model
''',
    "works-before": '''class Plugin(Method):
    """Has done its work when it is asked to begin."""

    def variant(self, index):
        work(0.6)
        return self

    def unlearn(self, model, data, trial):
        return model
''',
    "one-of-three": '''class Plugin(Method):
    """Works long in three of eight trials, and hardly in the others."""

    def unlearn(self, model, data, trial):
        work(0.9 if trial.indices[0] < 3 else 0.05)
        return model
''',
    "draws-from-elsewhere": '''import os

import torch


class Plugin(Method):
    """Its numbers do not come from the trial's seeds."""

    def unlearn(self, model, data, trial):
        own = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "little"))
        with torch.no_grad():
            for weights in model.parameters():
                weights += 0.1 * torch.randn(weights.shape, generator=own)
        return model
''',
    "honest": '''class Plugin(Method):
    """Noise of the trial's own, in stacks and alone."""

    stackable: ClassVar[bool] = True

    def unlearn(self, model, data, trial):
        from bench.weights import weights

        for view in weights(model).values():
            view.add_(0.1 * trial.normal_like(view))
        return model
''',
    "clock-undeclared": '''class Plugin(Method):
    """Reads the clock without saying so."""

    def unlearn(self, model, data, trial):
        while not trial.budget.expired:
            pass
        return model
''',
}


def limit_seconds(allowance: float, models: int = 1) -> float:
    """Less than what is allowed to users, as nobody needs to wait for it."""
    return models * (2 * allowance + 0.6)


@pytest.fixture(scope="module")
def ran(run, filled, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("budgets")
    for name, source in PLUGINS.items():
        (folder / f"{name}.py").write_text(HEAD + source)

    def rows_of(names: Iterable[str], *limits: str, code: int = 0) -> dict[str, dict]:
        asked = [word for name in names for word in ("--plugin", folder / f"{name}.py")]
        done = run(*asked, *limits, "--store", filled.path, "--json", code=code)
        return {row["method"]["name"]: row for row in json.loads(done.stdout)}

    rows = rows_of([GREEDY], "--budget", "100s", "--memory-limit", "2.2GB")  # how long memory takes is not limited
    with pytest.MonkeyPatch.context() as patch:
        for place in (compute, unlearning):
            patch.setattr(place, "limit_seconds", limit_seconds)
        rows |= rows_of((name for name in PLUGINS if name != GREEDY), "--budget", "0.2s", code=2)
    return {name: (row, Run.read(filled.path / "runs" / row["run"]).record) for name, row in rows.items()}


def _seconds(record: RunRecord) -> list[float]:
    """Of the trials that were timed."""
    assert len(record.alone) >= 3
    return [each.seconds for each in record.alone]


def test_too_slow_is_over_budget_and_scored(ran) -> None:
    row, record = ran["too-slow"]
    assert not row["failure"]
    assert "over budget" in row["badges"]
    assert min(_seconds(record)) > 0.59


def test_work_before_unlearn_counts(ran) -> None:
    """Beyond a quarter of a second."""
    row, record = ran["works-before"]
    assert not row["failure"]
    assert "over budget" in row["badges"]
    assert min(_seconds(record)) > 0.33


def test_trials_of_unlike_length_are_not_ranked(ran) -> None:
    """Whichever of them are timed."""
    row = ran["one-of-three"][0]
    assert not row["failure"]
    assert "uneven times" in row["badges"]
    assert row["rank"]["rank"] is None


def test_a_timed_trial_that_is_killed_is_over_budget(ran) -> None:
    row, record = ran["far-too-slow-alone"]
    assert not row["failure"]
    assert "over budget" in row["badges"]
    assert set(_seconds(record)) == {1.0}
    assert all(isinstance(timed, Killed) and "the limit is 1.0 s" in timed.killed for timed in record.timed)


def test_a_stack_that_hangs_is_killed_and_its_trials_are_tried_alone(ran) -> None:
    row, record = ran["slow-stacked"]
    seconds = re.search(r"^.*trials 0-1, stacked: killed after (\d+(?:\.\d+)?) s", row["failure"])
    assert seconds, row["failure"]
    assert float(seconds[1]) >= 2  # or more where wall time ran out first
    assert "each alone finishes" in row["failure"]
    assert record.timed == ()


def test_a_stack_that_memory_does_not_suffice_for_is_made_smaller(ran) -> None:
    """The whole run is planned again, since models of stacks of different sizes differ by rounding."""
    row, record = ran[GREEDY]
    assert not row["failure"]
    assert "smaller stacks" in row["badges"]
    assert record.stack_size == 4
    assert [chunk.trials for chunk in record.finished_chunks] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert all(chunk.peak_host_memory > 1.6e9 for chunk in record.finished_chunks)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cheap-alone", "gave models that are not those of the same seeds in stacks"),
        ("apart-by-a-constant", "gave models that are not those of the same seeds in stacks"),
        ("draws-from-elsewhere", "all that a method draws must come from its trial's seeds"),
    ],
)
def test_what_is_timed_must_be_what_is_scored(ran, name: str, told: str) -> None:
    row = ran[name][0]
    assert "timed differently" in row["badges"]
    assert told in row["scorecard"]["flags"]["timed differently"]
    assert row["rank"]["rank"] is None


def test_an_honest_method_is_not_suspected(ran) -> None:
    row = ran["honest"][0]
    assert "timed differently" not in row["badges"]
    assert row["unranked"].partition(":")[0] in ("", "utility lost")  # which is another gate's to say


def test_in_time(ran) -> None:
    """A thousand epochs would take minutes; one that reads the clock is never stacked, and its row says so."""
    row, record = ran["in-time"]
    assert not row["failure"]
    assert max(_seconds(record)) < limit_seconds(0.2)  # so it has stopped by itself: nobody has ended it
    assert "uses clock" in row["badges"]
    assert [chunk.trials for chunk in record.finished_chunks] == [(trial,) for trial in range(8)]
    assert record.alone == record.finished_chunks  # what is scored is what is timed
    assert "timed differently" not in row["badges"]


def test_the_clock_is_for_those_who_declare_it(ran) -> None:
    assert "must declare uses_clock = True" in ran["clock-undeclared"][0]["failure"]


def test_phases_add_up_and_memory_is_measured(ran) -> None:
    for name in ("too-slow", "in-time"):
        record = ran[name][1]
        for part in (*record.chunks, *record.timed):
            assert isinstance(part, Finished | Timed)
            assert set(part.phases) == set(PHASES)
            assert 10**8 < part.peak_memory < 10**10
            assert part.peak_host_memory == part.peak_memory
        for chunk in record.finished_chunks:
            assert sum(chunk.phases.values()) == pytest.approx(chunk.wall_seconds)


SWEPT = """from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from bench import Method
from bench.budget import as_fits
from bench.weights import weights


@dataclass(frozen=True)
class Plugin(Method):
    epochs: float = 2.0
    stackable: ClassVar[bool] = True

    def within(self, share):
        {body}

    def unlearn(self, model, data, trial):
        for view in weights(model).values():
            view.add_(0.01 * self.epochs * trial.normal_like(view))
        return model
"""
WITHIN = {
    "follows": "return replace(self, epochs=as_fits(self.epochs, share))",
    "ignores": "return self",
    "is-another": "return Method()",
    "raises": "raise RuntimeError('no luck')",
    "needs-more": """if share < 0.2:
            raise ValueError('one pass over retain is the least of it')
        return self""",
}


def test_a_sweep_over_what_methods_say_of_a_budget(run, copied, tmp_path: Path) -> None:
    for name, body in WITHIN.items():
        (tmp_path / f"{name}.py").write_text(SWEPT.format(body=body))
    asked = [word for name in WITHIN for word in ("--plugin", tmp_path / f"{name}.py")]
    done = run(*asked, "--budget-sweep", "10%,20%", "--store", copied.path, "--json", code=2)
    rows = {(row["method"]["name"], row["budget"]): row for row in json.loads(done.stdout)}
    ran = {"follows": ("10%", "20%"), "ignores": ("10%", "20%"), "needs-more": ("20%",)}
    assert {key for key in rows if key[0] in WITHIN} == {(name, budget) for name, budgets in ran.items() for budget in budgets}
    assert not any(row["failure"] for row in rows.values())
    assert "cannot keep to 10 % of a retraining: one pass over retain is the least of it" in done.stderr
    assert "within must return a Plugin, not a Method" in done.stderr
    assert done.stderr.count("no luck") == 1  # whatever the budget
    follows = rows["follows", "10%"]["method"]
    assert (follows["hyper_parameters"]["epochs"], follows["scaled"]) == (1.0, {"epochs": 2.0})
    assert rows["follows", "20%"]["method"]["scaled"] == {}
    first, second = (Run.read(copied.path / "runs" / rows["ignores", budget]["run"]).record for budget in ("10%", "20%"))
    assert second.trials_of == first.run
    assert [chunk.sha256 for chunk in first.finished_chunks] == [chunk.sha256 for chunk in second.finished_chunks]
    assert "ignores does the same at every budget" in done.stderr


def test_sweep(bench, run, copied, tmp_path: Path) -> None:
    """One row per budget, each in its division, and a curve on their pages and on that of the store's own budget."""
    (tmp_path / "in-time.py").write_text(HEAD + PLUGINS["in-time"])
    done = run("--plugin", tmp_path / "in-time.py", "--budget-sweep", "0.1s,0.2s", "--store", copied.path, "--json")
    rows = [row for row in json.loads(done.stdout) if row["method"]["name"] == "in-time"]
    assert [(row["budget"], row["failure"]) for row in rows] == [("0.1s", ""), ("0.2s", "")]
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site")
    pages = [path.read_text() for path in (tmp_path / "site").glob("division-*.html")]
    assert sum("Memory left against budget" in page for page in pages) == 3
