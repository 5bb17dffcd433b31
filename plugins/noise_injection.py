"""Noise on the weights, then a short fine-tune on retain that repairs utility.

The noise is relative to each tensor's own standard deviation, so that one number fits all layers; a small second noise at
the end is an option. Winners of the challenge built on the same idea (Triantafillou et al. 2024, arXiv:2406.09073,
section 5: Seif, with absolute noise on the first convolution).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.method import Count, NotNegative, Paper, Positive, Search
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import std, weights

from .finetune import CHALLENGE
from .training import smooth_cosine, train_on


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

    noise: Annotated[NotNegative, Search(0.05, 1.0, log=True)] = 0.35  # standard deviations; search (docs/evidence/tuning.md)
    epochs: Annotated[Positive, Search(0.25, 2.0)] = 1.0  # search
    learning_rate: Annotated[Positive, Search(5e-4, 5e-2, log=True)] = 5e-3  # search
    final_noise: Annotated[NotNegative, Search(0.0, 0.1)] = 0.0  # search: off
    batch_size: Count = 64  # search
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over retain"
    paper: ClassVar[Paper] = CHALLENGE

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Shake, repair, shake."""
        shake(model, self.noise, trial)
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=0.9, weight_decay=5e-4)
        rate = smooth_cosine(self.learning_rate, self.epochs)  # the repair ends on a rate near zero
        train_on(model, data.retain, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate)
        if self.final_noise:
            shake(model, self.final_noise, trial)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register noise injection."""
    register(NoiseInjection)
