"""Noise on the weights, then a short fine-tune on retain that repairs utility.

The noise is relative to each tensor's own standard deviation, so that one number fits all layers; a small second noise at
the end is an option. Winners of the challenge built on the same idea (Triantafillou et al. 2024, arXiv:2406.09073,
section 5: Seif, with absolute noise on the first convolution).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bench import Method, hookimpl
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import std, weights

from .finetune import FineTune


def shake(model: nn.Module, amount: float, trial: Trial) -> None:
    """Add normal noise of `amount` standard deviations of each convolution's and linear layer's weights.

    Normalisation layers are left alone: a fresh one has a standard deviation of 0.
    """
    for view in weights(model).values():
        view.add_(amount * std(view) * trial.normal_like(view))


@dataclass(frozen=True)
class NoiseInjection(Method):
    """Gaussian weight noise, fine-tuning on retain, then optionally a little noise again.

    Source: the idea of several winners of the challenge (Triantafillou et al. 2024, arXiv:2406.09073, section 5).
    """

    noise: float = 0.5  # standard deviations
    epochs: float = 2.0
    learning_rate: float = 1e-3
    final_noise: float = 0.0  # off
    batch_size: int = 64  # the challenge's fine-tuning baseline
    stackable: ClassVar[bool] = True

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Shake, repair, shake."""
        shake(model, self.noise, trial)
        repair = FineTune(epochs=self.epochs, learning_rate=self.learning_rate, batch_size=self.batch_size)
        model = repair.unlearn(model, data, trial)
        if self.final_noise:
            shake(model, self.final_noise, trial)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register noise injection."""
    register(NoiseInjection)
