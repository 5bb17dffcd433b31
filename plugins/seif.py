"""Seif: noise on the first convolution, training on retain with weighted classes, and a little noise again.

Source: the fourth of the challenge (Triantafillou et al. 2024, arXiv:2406.09073, section 5); settings from the port in
xcadet/deepunlearn (kgltop3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Layer, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import first_convolution, parameters

from .finetune import CHALLENGE, FineTune
from .training import cosine, train_on


def shake_first(model: nn.Module, amount: float, trial: Trial) -> None:
    """Add normal noise of that standard deviation to the weights of the first convolution that is not frozen."""
    view = parameters(model)[f"{first_convolution(model)}.weight"]
    view.add_(amount * trial.normal_like(view))


def weighted(logits: Tensor, labels: Tensor, favoured: int, other: float) -> Tensor:
    """The batch's mean cross-entropy times its mean class weight: 1 for one class, `other` for the rest."""
    class_weights = logits.new_full(logits.shape[-1:], other)
    class_weights[favoured] = 1.0
    return cross_entropy(logits, labels) * class_weights[labels].mean(-1)


@dataclass(frozen=True)
class Seif(FineTune):
    """Absolute noise on the first convolution, then fine-tuning in which one class counts more; noise before the last epoch.

    The noise does not depend on the size of the weights, and the public code reaches the first convolution only; here it is
    the first that is not frozen. Its loss multiplies the batch's mean cross-entropy by the batch's mean class weight, which
    is a weight for the batch and not for examples: kept. There class 0 is favoured, the most frequent one; here it is the
    most frequent class of forget. With one epoch or less there is no late noise. The published noise is many times the
    weights, so on a hundred images utility is lost; that of the default is not.

    Source: Triantafillou et al. 2024, arXiv:2406.09073, section 5 (Seif).
    """

    noise: Annotated[NotNegative, Search(0.01, 1.0, log=True)] = 0.02  # quick search; absolute; public code has .6
    late_noise: Annotated[NotNegative, Search(1e-4, 0.1, log=True)] = 2e-3  # quick search; absolute; public code has 5e-3
    epochs: Annotated[Positive, Search(0.5, 4.0)] = 1.8  # quick search; public code has 4
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 0.03  # quick search; public code has 7e-4
    other_weight: Annotated[Share, Search(0.01, 1.0, log=True)] = 0.037  # quick search; public code has .05
    uses_forget: ClassVar[bool] = True
    needs: ClassVar[tuple[Layer, ...]] = ("convolution",)
    paper: ClassVar[Paper] = replace(CHALLENGE, code="https://github.com/xcadet/deepunlearn")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"noise": 0.6, "late_noise": 5e-3, "epochs": 4.0, "learning_rate": 7e-4, "other_weight": 0.05}
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Shake, repair, shake, repair."""
        shake_first(model, self.noise, trial)
        favoured = int(torch.bincount(data.forget.labels.flatten()).argmax())
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        train = partial(self.train, model, data, optimizer, favoured)
        before = max(self.epochs - 1, 0.0)
        if before:
            train(before, 0.0)
            shake_first(model, self.late_noise, trial)
        train(self.epochs - before, before)
        return model

    def train(self, model: nn.Module, data: MethodData, optimizer: Optimizer, favoured: int, epochs: float, start: float) -> None:
        """Train on retain for some epochs, after `start` others."""
        rate = cosine(self.learning_rate, self.epochs)
        train_on(
            model,
            data.retain,
            epochs=epochs,
            batch_size=self.batch_size,
            optimizer=optimizer,
            rate=lambda epoch: rate(start + epoch),
            loss=lambda logits, labels, _: weighted(logits, labels, favoured, self.other_weight),
        )


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register Seif."""
    register(Seif)
