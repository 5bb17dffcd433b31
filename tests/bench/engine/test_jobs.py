"""Jobs are small and travel as bytes, whatever the size of the task and however long the spec."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from bench.engine.executor import pickled
from bench.engine.jobs import (
    Evaluate,
    ExamineNetwork,
    Job,
    Setting,
    TimeRetraining,
    TimeTrial,
    TrainOnShares,
    TrainOriginal,
    TrainRetrained,
    Unlearn,
    UnlearnWeights,
    Work,
)
from bench.engine.machine import Device
from bench.engine.plan import stack_size
from bench.engine.session import Session
from bench.errors import BenchError
from bench.models.recipe import Recipe
from bench.registry import discovery, specs
from bench.registry.discovery import Plugin
from bench.registry.networks import OwnNetwork
from bench.tasks.age_synthetic import age_synthetic
from bench.tasks.memorisation import SHARE

LARGEST = 20_000  # bytes
GPU = "NVIDIA H100 80GB HBM3"
STACK = tuple(range(10_000, 10_000 + stack_size(GPU)))


def kinds(kind: type[Job] = Job) -> set[type[Job]]:
    """Every kind of job that there is, however it is derived."""
    below = set().union(*(kinds(each) for each in kind.__subclasses__()), set(kind.__subclasses__()))
    return {each for each in below if not each.__name__.startswith("_")}


def jobs(setting: Setting, work: Work) -> list[Job]:
    """One of each kind, with the largest stacks there are."""
    return [
        ExamineNetwork(setting),
        TrainOriginal(setting),
        Evaluate(setting, "a" * 64),
        TrainRetrained(setting, STACK),
        TimeRetraining(setting),
        TrainOnShares(setting, STACK, SHARE),
        Unlearn(setting, work, STACK),
        TimeTrial(setting, work, STACK[-1]),
        UnlearnWeights(setting, work, STACK),
    ]


def embedded() -> tuple[Setting, Work]:
    task, plugin = age_synthetic(), discovery.find_method("scrub")
    session = Session(None, task, Device("cpu", "cpu", "Some CPU", {}), lambda *_: None)
    spec = specs.parse("scrub[alpha=0.1,epochs=5]")
    original = session.shelf.put_weights({"fc.weight": np.zeros((1, 10, 64), np.float32)})
    return session.setting, Work(plugin, plugin.source_hash(), spec, 0, True, False, 1.5, 0.2, original, 10**9)


def large() -> tuple[Setting, Work]:
    """A thousand classes with a weight each, a spec of two hundred numbers, and paths as long as they come."""
    weights = tuple(np.random.default_rng(0).random(1000).tolist())
    recipe = Recipe(100, 256, 1e-3, 1e-4, 0.1, weighted_classes=True, class_weights=weights)
    numbers = tuple(np.random.default_rng(1).random(200).tolist())
    spec = specs.Spec("mine", {f"hyper_parameter_{index}": value for index, value in enumerate(numbers)})
    folder = "/" + "/".join(["a folder with a long name"] * 40)  # about a thousand characters
    own = OwnNetwork(Plugin("net", f"{folder}/net.py", "", "", "ANetworkWithALongName"), "c" * 64, True)
    setting = Setting("ANetworkWithALongName", 1000, recipe, "cuda", GPU, "d" * 64, own, 128)
    plugin = Plugin("mine", f"{folder}/mine.py", "", "", "AMethodWithALongName")
    return setting, Work(plugin, "e" * 64, spec, 2**31, True, True, 1.5, None, "f" * 64, 2**40)


@pytest.mark.parametrize("of", [embedded, large])
def test_every_kind_of_job_is_small_and_comes_back_as_it_was(of) -> None:
    made = jobs(*of())
    assert {type(job) for job in made} == kinds()
    for job in made:
        content = pickled(job)
        assert len(content) <= LARGEST, job.label
        assert pickle.loads(content) == job


@pytest.mark.parametrize("of", [embedded, large])
def test_what_a_job_needs_is_named_and_not_in_it(of) -> None:
    setting, work = of()
    network = (setting.own_network.source,) if setting.own_network else ()
    assert setting.contents == (setting.data, *network)
    for job in jobs(setting, work):
        assert set(setting.contents) <= set(job.contents)
        assert all(len(name) == 64 for name in job.contents)
    assert Evaluate(setting, "a" * 64).contents == (*setting.contents, "a" * 64)
    own = () if work.plugin.distribution else (work.source,)  # an installed plugin does not travel
    assert Unlearn(setting, work, (0,)).contents == (*setting.contents, work.original, *own)


def test_of_installed_plugins_and_those_in_files_only_files_travel() -> None:
    assert [work.source in Unlearn(setting, work, (0,)).contents for setting, work in (embedded(), large())] == [False, True]


def test_methods_that_use_the_clock_are_computed_one_at_a_time() -> None:
    _, work = embedded()
    assert work.at_once is None
    assert replace(work, uses_clock=True).at_once == 1


def test_what_cannot_be_sent_is_named_in_one_line() -> None:
    setting, work = embedded()
    job = Unlearn(setting, replace(work, spec=specs.Spec("scrub", {"draw": lambda: 0})), (0,))
    with pytest.raises(BenchError) as caught:
        pickled(job)
    told = str(caught.value)
    assert told.startswith("a job cannot be sent: Unlearn.work cannot be pickled (")
    assert "\n" not in told
    with pytest.raises(BenchError, match=r"^a job cannot be sent: TrainRetrained\.setting cannot be pickled \("):
        pickled(TrainRetrained(replace(setting, recipe=lambda: 0), (0,)))
