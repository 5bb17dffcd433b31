"""Runs one plugin on the splits that a method may see."""

from __future__ import annotations

import random
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import nn

from bench.budget import Allowance
from bench.engine.jobs import Setting
from bench.engine.worker.answers import STILL_THERE, Description, Nothing, PeakMemory
from bench.engine.worker.family import PATIENCE, PAUSE
from bench.engine.worker.guards import Guards
from bench.engine.worker.handed import Handed
from bench.engine.worker.server import Answer, Server
from bench.errors import BenchError
from bench.method import Control, Method, Paper
from bench.models.layers import lacking, placed
from bench.models.returned import returned_model, shapes
from bench.models.stacked import size
from bench.models.training import class_weights, warm_up
from bench.registry import discovery, documentation, loading, specs
from bench.seeds import purpose_seed, seed_of
from bench.splits import MethodData, Split
from bench.store.fields import LONGEST_TEXT
from bench.tasks.task import METHOD_SPLITS
from bench.trial import Trial
from bench.weights import state

LARGEST_SHARE = 0.95  # of the device's memory: the rest is for the evaluating process


class MethodServer(Server):
    """Runs one plugin on the splits that a method may see."""

    def __init__(
        self,
        guards: Guards,
        connection: Connection,
        setting: Setting,
        handed: Handed,
        plugin: discovery.Plugin,
        spec: specs.Spec,
        share: float | None,
    ) -> None:
        super().__init__(connection, setting, handed.pictures)
        self.guards, self.plugin, self.spec, self.share = guards, plugin, spec, share
        self._take(handed)
        if self.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(LARGEST_SHARE)
        else:
            guards.limit_memory()

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked."""
        return {
            "describe": self.describe,
            "know_network": self.know_network,
            "load": self.load,
            "hand_over": self.hand_over,
            "start": self.start,
            "warm_up": self.warm_up,
            "unlearn": self.unlearn,
            "peak_memory": self.peak_memory,
            "weights": self.weights,
        }

    @property
    def method(self) -> Method:
        """The plugin's method with what the budget allows and the spec's hyper-parameters."""
        return specs.configure(loading.load_method(self.plugin), self.spec, self.share)

    def describe(self, models: int) -> Answer:
        """What the engine must know of the method before it plans."""
        method = self.method
        if missing := lacking(self.blueprint.build(), method.needs) if method.needs else []:
            raise BenchError(f"{self.plugin.name} needs {' and '.join(missing)}, which network {self.setting.network} has not")
        variants = [_checked(method.variant(index)) for index in range(models)]
        return Description(
            stackable=all(variant.stackable and not variant.uses_clock for variant in variants),
            uses_clock=any(variant.uses_clock for variant in variants),
            control=isinstance(method, Control),
            hyper_parameters=specs.hyper_parameters(method),
            scaled=specs.scaled(type(method), self.spec, method),
            variants=[variants.index(variant) for variant in variants],
            reference_models=list(method.reference_models(models)) if isinstance(method, Control) else [],
            remark=loading.remark(method),
            paper=asdict(method.paper) if isinstance(method.paper, Paper) else None,
            cost=str(method.cost),
            deterministic=all(variant.deterministic and variant == variants[0] for variant in variants),
            reconstruction=str(method.reconstruction),
            certificate=str(method.certificate()),
            documentation=(type(method).__doc__ or "")[:LONGEST_TEXT],
            sources={item.name: item.source for item in documentation.hyper_parameters(type(method))},
        ), {}

    def know_network(self) -> Answer:
        """Import the network and make one."""
        self.blueprint.build()
        return Nothing(), {}

    def load(self, trial: int) -> Answer:
        """Import the plugin, and make the method that a trial uses."""
        self.guards.enter_folder()
        method = self.method
        self.running, self.kind, self.loaded = method.variant(trial), type(method), set(threading.enumerate())
        return Nothing(), {}

    def hand_over(self, handed: Handed, trial: int) -> Answer:
        """After a rehearsal, the task itself: nothing is left of the decoy, the method is made anew, and the folder is empty."""
        _demand_rest(self.loaded)
        self.guards.enter_folder()
        self.running = specs.configure(self.kind, self.spec, self.share).variant(trial)
        self.columns = {name: self._resident(*columns) for name, columns in handed.pictures.items()}
        self._take(handed)
        del self.model, self.data, self.trial
        return Nothing(), {}

    def start(self, trials: Sequence[int], root: int, allowance: float, *, stacked: bool) -> Answer:
        """Make the model, data and trial object of one or more trials."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        torch.set_default_dtype(torch.float32)  # whatever an earlier trial in this process did
        torch.set_grad_enabled(True)
        seeds = tuple(seed_of(root, "trial", index) for index in trials)
        self.allowance = allowance
        self.model = self._original_model(len(trials) if stacked else None)
        self.data = MethodData(**{name: self._named(name, seeds, stacked=stacked) for name in METHOD_SPLITS})
        self.trial = self._trial(trials, seeds, stacked=stacked)
        _seed_globally(seeds[0])
        return Nothing(), {}

    def warm_up(self) -> Answer:
        """One forward and backward pass of a throw-away copy: first calls are slow and would be charged to the method."""
        copy = self._original_model(size(self.model) if self.trial.stacked else None)
        warm_up(copy, self.data.retain)
        self._synchronise()
        return Nothing(), {}

    def unlearn(self) -> Answer:
        """Run the method."""
        if self.running.uses_clock:  # it starts now
            self.trial = replace(self.trial, budget=Allowance(self.allowance, self._clock()))
        before = set(threading.enumerate())
        wanted = shapes(self.model)
        returned = self.running.unlearn(self.model, self.data, self.trial)
        self.model = returned_model(returned, wanted, len(self.trial.seeds))
        self._synchronise()
        _demand_rest(before)
        return Nothing(), {}

    def peak_memory(self) -> Answer:
        """Most bytes of device memory that tensors have had."""
        return PeakMemory(bytes=torch.cuda.max_memory_allocated(self.device)), {}

    def weights(self) -> Answer:
        """Weights of the unlearned models {name: [M, ...]}."""
        return Nothing(), {name: view.float() for name, view in state(self.model).items()}

    def _take(self, handed: Handed) -> None:
        self.identities = {name: torch.from_numpy(people).to(self.device) for name, people in handed.identities.items()}
        self.original = handed.original

    def _named(self, name: str, seeds: Sequence[int], *, stacked: bool) -> Split:
        return replace(self._bind(name, seeds, stacked=stacked), identities=self.identities.get(name))

    def _trial(self, trials: Sequence[int], seeds: tuple[int, ...], *, stacked: bool) -> Trial:
        trained = torch.cat([self.columns[name][1] for name in ("retain", "forget")])  # all, as the original was
        return Trial(
            indices=tuple(trials),
            seeds=seeds,
            stacked=stacked,
            device=self.device,
            budget=Allowance(self.allowance),
            class_weights=class_weights(self.setting.recipe, trained, self.setting.classes),
            network=self.setting.network,
            classes=self.setting.classes,
            blueprint=self.blueprint,
        )

    def _clock(self) -> Callable[[], float]:
        """The clock that the parent measures by, as far as this process can read it."""
        if self.device.type == "cpu":
            return time.process_time

        def synchronised() -> float:
            self._synchronise()
            return time.monotonic()

        return synchronised

    def _original_model(self, count: int | None) -> nn.Module:
        plain = self.blueprint.build() if self.original else self.blueprint.initialised(secrets.randbits(32))
        for name, view in state(plain).items() if self.original else ():
            view.copy_(torch.from_numpy(self.original[name]))
        return placed(plain if count is None else self.blueprint.stack([plain] * count), self.device)


def _checked(variant: object) -> Method:
    """A variant whose class says of itself what the engine can understand.

    Raises:
        BenchError: naming what is something else.
    """
    if not isinstance(variant, Method):
        raise BenchError(f"variant must return a method, not {type(variant).__name__}")
    for name in ("stackable", "uses_clock", "deterministic"):
        if type(getattr(variant, name)) is not bool:
            raise BenchError(f"{type(variant).__name__}.{name} must be True or False, not {getattr(variant, name)!r}")
    return variant


def _demand_rest(before: set[threading.Thread]) -> None:
    """No thread may go on that was not there before."""
    if left := _still_there(before):
        raise BenchError(f"{STILL_THERE}: {', '.join(left)}")


def _still_there(before: set[threading.Thread]) -> list[str]:
    """Names of new threads that do not end, but for those that libraries keep."""
    end = time.monotonic() + PATIENCE
    while left := [thread.name for thread in threading.enumerate() if thread not in before and not _of_a_library(thread)]:
        if time.monotonic() > end:
            return [f"thread {name}" for name in left]
        time.sleep(PAUSE)
    return []


def _of_a_library(thread: threading.Thread) -> bool:
    """Whether it is none of Python's, serves a library, or belongs to a pool and has nothing to do."""
    if isinstance(thread, threading._DummyThread):
        return True
    function = getattr(thread, "_target", None)
    module = getattr(function, "__module__", None) or type(thread).__module__
    frame = sys._current_frames().get(thread.ident or 0)
    idle = frame is None or (frame.f_code.co_name, frame.f_globals.get("__name__")) == ("_worker", "concurrent.futures.thread")
    return idle or module.partition(".")[0] in ("torch", "tqdm", "joblib", "multiprocessing")


def _seed_globally(seed: int) -> None:
    """For plain methods, which may draw from global generators; a stackable method must not."""
    own = purpose_seed(seed, "global")
    torch.manual_seed(own)
    np.random.seed(own)  # noqa: NPY002
    random.seed(own)
