"""Fine-tune on the retain set only: the challenge's baseline.

Source: Triantafillou et al. 2024, arXiv:2406.09073; defaults from the challenge's evaluation code
(google-deepmind/unlearning_evaluation, main.py), kept untuned, so that the baseline row is the challenge's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.budget import as_fits
from bench.losses import cross_entropy, set_learning_rate, step
from bench.splits import MethodData
from bench.trial import Trial


def train_on_retain(
    model: nn.Module, data: MethodData, *, epochs: float, batch_size: int, optimizer: SGD, rate: Callable[[float], float]
) -> None:
    """Minimise cross-entropy on retain; `rate` gives the learning rate after a number of epochs (with its fraction)."""
    batches = math.ceil(len(data.retain) / batch_size)
    for taken, (images, labels) in enumerate(data.retain.epochs(epochs, batch_size)):
        set_learning_rate(optimizer, rate(taken / batches))
        step(optimizer, cross_entropy(model(images), labels))


@dataclass(frozen=True)
class FineTune(Method):
    """Cross-entropy on retain with momentum; the rate follows half a cosine, one step an epoch.

    With one epoch, as in the challenge's baseline, the rate is constant.

    Source: Triantafillou et al. 2024, arXiv:2406.09073 (evaluation code, do_unlearning).
    """

    epochs: float = 1.0  # evaluation code
    learning_rate: float = 1e-3  # evaluation code
    batch_size: int = 64  # evaluation code
    momentum: float = 0.9  # evaluation code
    weight_decay: float = 5e-4  # evaluation code
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False

    def within(self, share: float) -> FineTune:
        """As many epochs as go into the budget where one goes into the usual one."""
        return replace(self, epochs=as_fits(self.epochs, share))

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Train on retain."""
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        train_on_retain(model, data, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=self._rate)
        return model

    def _rate(self, epoch: float) -> float:
        return self.learning_rate * (1 + math.cos(math.pi * math.floor(epoch) / self.epochs)) / 2


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register fine-tuning."""
    register(FineTune)
