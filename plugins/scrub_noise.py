"""SCRUB from noisy weights: noise injection first, so that retain epochs have something to repair and runs differ.

A combination used by an entry of the challenge (Triantafillou et al. 2024, arXiv:2406.09073). The teacher is the original
model, before the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import nn

from bench import Method, hookimpl
from bench.method import NotNegative, Search
from bench.splits import MethodData
from bench.trial import Trial

from .noise_injection import shake
from .scrub import Scrub


@dataclass(frozen=True)
class ScrubNoise(Scrub):
    """Gaussian weight noise, then SCRUB; optionally a little noise again before the last retain epoch.

    Source: SCRUB is Kurmanji et al. 2023, arXiv:2302.09880; the combination is a challenge entry's.
    """

    learning_rate: float = 5.9e-3  # search on the embedded task (docs/evidence/tuning.md)
    alpha: float = 4.8e-3  # search
    retain_batch: int = 128  # search
    forget_batch: int = 120  # search
    noise: Annotated[NotNegative, Search(0.05, 1.0, log=True)] = 0.37  # standard deviations of each tensor; search
    late_noise: Annotated[NotNegative, Search(0.0, 0.1)] = 0.05  # search
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # SCRUB's know no noise

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Learn from the original, shake, then run all epochs."""
        taught = self.taught(model, data)
        shake(model, self.noise, trial)
        passes = self.epochs + self.max_epochs
        rounds = self.rounds(model, taught)
        for done in range(passes):
            if self.late_noise and done == passes - 1:
                shake(model, self.late_noise, trial)
            next(rounds)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register SCRUB with noise."""
    register(ScrubNoise)
