"""The method under test, run at most once for all checks that look at the same run."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import nn

from bench.errors import BenchError, described
from bench.method import Control, Method
from bench.registry import discovery, loading, specs
from bench.testing.observation import Observation, observed
from bench.testing.toy_task import ToyTask, toy_task

SEED = 7


@dataclass(frozen=True)
class MethodRun:
    """One run of the method: what it was given, what it returned, and what was seen meanwhile."""

    given: nn.Module
    returned: nn.Module
    observation: Observation


@dataclass(frozen=True)
class Subject:
    """A method with its hyper-parameters."""

    spec: specs.Spec
    plugin: discovery.Plugin
    method: Method

    @property
    def task(self) -> ToyTask:
        """Where it is tested."""
        return toy_task()

    @cached_property
    def problem(self) -> str:
        """Why it does not run at all; "" if it does."""
        try:
            _ = self.run  # which is kept
        except Exception as problem:
            return self.told(problem)
        return ""

    def told(self, problem: Exception) -> str:
        """What the method raised and in which line of its file; with BENCH_STRICT it is raised again."""
        if loading.strict():
            raise problem
        frames = traceback.extract_tb(problem.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == self.plugin.file]
        where = f" ({self.plugin.file.name}, line {lines[-1]})" if lines and self.plugin.file else ""
        return f"{described(problem)}{where}"

    @cached_property
    def run(self) -> MethodRun:
        """One trial on a plain network in float32."""
        given = self.task.original()
        with observed(given) as observation:
            returned = self.task.unlearn(self.method, SEED, model=given)
        return MethodRun(given, returned, observation)


@cache
def subject(spec: str) -> Subject:
    """The method of a spec, imported into this process.

    Raises:
        BenchError: it cannot be loaded, or is a control row.
    """
    torch.set_num_threads(1)
    parsed = specs.parse(spec)
    plugin = discovery.find_method(parsed.plugin)
    method = specs.configure(loading.load_method(plugin), parsed)
    if isinstance(method, Control):
        raise BenchError(f"{plugin.name} is a control row: it unlearns nothing that could be tested")
    return Subject(parsed, plugin, method)
