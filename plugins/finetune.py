"""Fine-tune on the retain set only: the challenge's baseline.

Source: Triantafillou et al. 2024, arXiv:2406.09073; defaults from the challenge's evaluation code
(google-deepmind/unlearning_evaluation, main.py), kept untuned, so that the baseline row is the challenge's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from bench import Method, hookimpl
from bench.budget import as_fits
from bench.losses import cross_entropy, set_learning_rate, step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData, Split
from bench.trial import Trial

CHALLENGE = Paper(
    title="Are we making progress in unlearning? Findings from the first NeurIPS unlearning competition",
    authors="Triantafillou, Eleni and Kairouz, Peter and Pedregosa, Fabian and others",
    venue="arXiv",
    year=2024,
    url="https://arxiv.org/abs/2406.09073",
    code="https://github.com/google-deepmind/unlearning_evaluation",
)

Schedule = Callable[[float], float]  # what a number of epochs, with its fraction, makes of a learning rate
Loss = Callable[..., Tensor]  # logits, labels, further columns, epochs so far -> one value per model


def constant(learning_rate: float) -> Schedule:
    """The same rate throughout."""
    return lambda epoch: learning_rate


def cosine(learning_rate: float, epochs: float) -> Schedule:
    """Half a cosine, one step an epoch: the last epoch is not at 0."""
    return lambda epoch: learning_rate * (1 + math.cos(math.pi * math.floor(epoch) / epochs)) / 2


def smooth_cosine(learning_rate: float, epochs: float) -> Schedule:
    """Half a cosine, a step a batch: the last is near 0."""
    return lambda epoch: learning_rate * (1 + math.cos(math.pi * epoch / epochs)) / 2


def plain(logits: Tensor, labels: Tensor, epoch: float) -> Tensor:
    """Cross-entropy, whatever the epoch."""
    return cross_entropy(logits, labels)


def train_on(
    model: Callable[[Tensor], Tensor],
    split: Split,
    *,
    epochs: float,
    batch_size: int,
    optimizer: Optimizer,
    rate: Schedule,
    loss: Loss = plain,
) -> None:
    """Minimise cross-entropy, or another loss, on a split; whatever columns it carries, the loss gets."""
    batches = split.steps(batch_size)
    for taken, (images, *columns) in enumerate(split.epochs(epochs, batch_size)):
        set_learning_rate(optimizer, rate(taken / batches))
        step(optimizer, loss(model(images), *columns, taken / batches))


@dataclass(frozen=True)
class FineTune(Method):
    """Cross-entropy on retain with momentum; the rate follows half a cosine, one step an epoch.

    With one epoch, as in the challenge's baseline, the rate is constant.

    Source: Triantafillou et al. 2024, arXiv:2406.09073 (evaluation code, do_unlearning).
    """

    epochs: Annotated[Positive, Search(0.25, 2.0)] = 1.0  # evaluation code
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-3  # evaluation code
    batch_size: Count = 64  # evaluation code
    momentum: Share = 0.9  # evaluation code
    weight_decay: NotNegative = 5e-4  # evaluation code
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    cost: ClassVar[str] = "epochs over retain"
    paper: ClassVar[Paper] = CHALLENGE

    def within(self, share: float) -> FineTune:
        """As many epochs as go into the budget where one goes into the usual one."""
        return replace(self, epochs=as_fits(self.epochs, share))

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Train on retain."""
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        rate = cosine(self.learning_rate, self.epochs)
        train_on(model, data.retain, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register fine-tuning."""
    register(FineTune)
