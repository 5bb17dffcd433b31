"""SCRUB: move away from a frozen teacher on forget, stay with it on retain.

Source: Kurmanji et al. 2023, arXiv:2302.09880, algorithm 1 and equations 2 to 4; public code: meghdadk/SCRUB. The teacher
is the original model in evaluation mode. It never changes, so its logits are computed once and follow the shuffle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from torch import nn
from torch.optim import Optimizer

from bench import Method, hookimpl
from bench.budget import USUAL_SHARE, as_fits
from bench.losses import cross_entropy, kl_divergence, set_learning_rate, step
from bench.method import Count, CountFromZero, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData, Split, predict
from bench.trial import Trial

from .scrub_settings import PRESETS
from .training import Optimiser, sgd_or_adam

LEAST_EPOCHS = 2


@dataclass(frozen=True)
class Scrub(Method):
    """Alternate epochs that raise the divergence from the teacher on forget with epochs that keep it low on retain.

    Epoch e (from 1): if e <= max_epochs, a pass over forget that maximises KL(teacher || student); then always a pass over
    retain that minimises gamma * cross-entropy + alpha * KL. With epochs > max_epochs it ends on retain-only epochs. The settings
    of the paper and of its code are presets.

    Source: Kurmanji et al. 2023, arXiv:2302.09880.
    """

    max_epochs: CountFromZero = 1  # what fits a budget of 20 % of retraining on the embedded task
    epochs: Count = 2  # likewise
    learning_rate: Annotated[Positive, Search(3e-4, 3e-2, log=True)] = 1.4e-3  # search (docs/evidence/tuning.md)
    alpha: Annotated[NotNegative, Search(1e-3, 1.0, log=True)] = 2.5e-3  # search
    gamma: NotNegative = 0.99  # public code, large-scale setting
    temperature: Annotated[Positive, Search(1.0, 4.0)] = 4.0  # search
    retain_batch: Annotated[Count, Search(64, 256, log=True)] = 256  # search
    forget_batch: Annotated[Count, Search(16, 128, log=True)] = 16  # search
    decay_epochs: tuple[int, ...] = (3, 5, 9)  # public code, large-scale setting: the rate falls after each
    decay_rate: NotNegative = 0.1  # public code: times the rate
    optimizer: Optimiser = "sgd"  # public code, large-scale setting; its small one has Adam
    momentum: Share = 0.9  # public code, large-scale setting; of SGD, Adam has its own
    weight_decay: NotNegative = 5e-4  # public code, large-scale setting; in either optimiser added to the gradient
    stackable: ClassVar[bool] = True
    cost: ClassVar[str] = "epochs over retain, and max_epochs over forget; one pass over both for the teacher"
    paper: ClassVar[Paper] = Paper(
        title="Towards Unbounded Machine Unlearning",
        authors="Kurmanji, Meghdad and Triantafillou, Peter and Hayes, Jamie and Triantafillou, Eleni",
        venue="NeurIPS",
        year=2023,
        url="https://arxiv.org/abs/2302.09880",
        code="https://github.com/meghdadk/SCRUB",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    def __post_init__(self) -> None:
        if not 0 <= self.max_epochs <= self.epochs or not self.epochs:
            told = (
                f"epochs ({self.epochs}) must be 1 or more, and max_epochs ({self.max_epochs}) 0 or more and no more than those"
            )
            raise ValueError(f"{told}: a pass over retain follows each over forget")

    def within(self, share: float) -> Self:
        """As many epochs of either kind as go into the budget where the defaults go into the usual one.

        Raises:
            ValueError: fewer than two passes over retain, one after each over forget, do; there is no less of it.
        """
        epochs, max_epochs = (math.floor(as_fits(usual, share)) for usual in (self.epochs, self.max_epochs))
        if epochs < LEAST_EPOCHS:
            raise ValueError(f"two passes over retain are the least of it, about {100 * USUAL_SHARE:g} % of a retraining")
        return replace(self, epochs=epochs, max_epochs=max(1, max_epochs))

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Run all epochs."""
        for _ in self.rounds(model, self.taught(model, data)):
            pass
        return model

    def rounds(self, model: nn.Module, taught: MethodData) -> Iterator[Literal["max", "min"]]:
        """Do one pass after the other, saying which one was done."""
        settings = self.learning_rate, self.momentum, self.weight_decay
        optimizer = sgd_or_adam(model, self.optimizer, *settings)  # one for both kinds of passes, as in the public code
        for epoch in range(self.epochs):
            set_learning_rate(
                optimizer, self.learning_rate * self.decay_rate ** sum(decay < epoch + 1 for decay in self.decay_epochs)
            )
            if epoch < self.max_epochs:
                self.max_epoch(model, taught.forget, optimizer)
                yield "max"
            self.min_epoch(model, taught.retain, optimizer)
            yield "min"

    def taught(self, teacher: nn.Module, data: MethodData) -> MethodData:
        """The data with the teacher's logits as a third column."""
        retain, forget = (split.carrying(predict(teacher, split)) for split in (data.retain, data.forget))
        return MethodData(retain, forget, data.validation)

    def max_epoch(self, model: nn.Module, forget: Split, optimizer: Optimizer) -> None:
        """One pass over forget, away from the teacher."""
        for images, _, teacher in forget.batches(self.forget_batch):
            step(optimizer, -kl_divergence(teacher, model(images), self.temperature))

    def min_epoch(self, model: nn.Module, retain: Split, optimizer: Optimizer) -> None:
        """One pass over retain, true to the labels and to the teacher."""
        for images, labels, teacher in retain.batches(self.retain_batch):
            logits = model(images)
            divergence = kl_divergence(teacher, logits, self.temperature)
            step(optimizer, self.gamma * cross_entropy(logits, labels) + self.alpha * divergence)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register SCRUB."""
    register(Scrub)
