"""What every network must do: the rules that a run applies before it trains one, each as a check, and a few beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import torch

from bench.engine.worker import examination
from bench.errors import BenchError, one_line
from bench.registry import discovery, loading, networks
from bench.testing.checks import demand_no_side_effects
from bench.testing.outcome import Check, FailedCheckError, NotApplicableError

USUAL, OTHER = (10, 32), (7, 64)  # classes, and pixels of a side


@dataclass(frozen=True)
class NetworkSubject:
    """A network under test."""

    network: networks.Found

    def asked(self, classes: int, size: int) -> examination.Subject:
        """It, with so many classes and pictures of so many pixels a side."""
        blueprint = networks.blueprint_of(self.network.name, self.network.own, classes, size)
        return examination.Subject(blueprint, classes, size, torch.device("cpu"))

    @cached_property
    def usual(self) -> examination.Subject:
        """It, as the embedded task asks for it."""
        return self.asked(*USUAL)

    @cached_property
    def problem(self) -> str:
        """Why it cannot be made at all; "" if it can."""
        try:
            examination.builds(self.usual)
        except Exception as problem:
            return self.told(problem)
        return ""

    def told(self, problem: Exception) -> str:
        """What it raised; with BENCH_STRICT it is raised again."""
        if loading.strict() and not isinstance(problem, BenchError):
            raise problem
        return one_line(str(problem) if isinstance(problem, BenchError) else f"{type(problem).__name__}: {problem}")


@cache
def network_subject(text: str) -> NetworkSubject:
    """The network of a name or file, imported into this process.

    Raises:
        BenchError: it cannot be loaded.
    """
    torch.set_num_threads(1)
    return NetworkSubject(networks.find(text))


def loads_without_side_effects(subject: NetworkSubject) -> str:
    """Importing the plugin changes nothing in the process and prints nothing."""
    if subject.network.own is None:
        raise NotApplicableError("it comes with bench")
    demand_no_side_effects(discovery.NETWORKS, subject.network.own.plugin, "do that where the network is made, or not at all")
    return ""


def builds(subject: NetworkSubject) -> str:
    """It makes a network for the classes and the size that it is asked for, or says in a `ValueError` that none fits."""
    if subject.problem:
        raise FailedCheckError(subject.problem)
    classes, size = OTHER
    for other in (subject.asked(classes, USUAL[1]), subject.asked(USUAL[0], size)):
        try:
            examination.builds(other)
        except BenchError as problem:
            if other.size == size and isinstance(problem.__cause__, ValueError):
                return f"it refuses pictures of {size} pixels: {one_line(str(problem.__cause__))}"
            raise
        examination.answers(other)
    return ""


def _as_check(rule: Callable[[examination.Subject], None]) -> Check[NetworkSubject]:
    def look(subject: NetworkSubject) -> str:
        rule(subject.usual)
        return ""

    look.__name__, look.__doc__ = rule.__name__, rule.__doc__
    return Check.of(look, runs=True)


def stacked_equals_alone(subject: NetworkSubject) -> str:
    """In float64 a stack learns and answers as its models do alone, if it says that it is stackable."""
    if not subject.usual.blueprint.stackable:
        raise NotApplicableError("not stackable")
    examination.stacked_equals_alone(subject.usual)
    return ""


_SAID_BESIDE = (examination.builds, examination.stacked_equals_alone)
NETWORK_CHECKS: list[Check[NetworkSubject]] = [
    Check.of(loads_without_side_effects, runs=False),
    Check.of(builds, runs=False),
    *(_as_check(rule) for rule in examination.RULES if rule not in _SAID_BESIDE),
    Check.of(stacked_equals_alone, runs=True),
]
