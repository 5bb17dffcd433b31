"""What methods train by: the loop that most of them share, its schedules, and optimisers that are chosen by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from bench.losses import cross_entropy, set_learning_rate, step
from bench.splits import Split

Schedule = Callable[[float], float]  # what a number of epochs, with its fraction, makes of a learning rate
Loss = Callable[..., Tensor]  # logits, labels, further columns, epochs so far -> one value per model
Optimiser = Literal["sgd", "adam"]


def constant(learning_rate: float) -> Schedule:
    """The same rate throughout."""
    return lambda epoch: learning_rate


def cosine(learning_rate: float, epochs: float) -> Schedule:
    """Half a cosine, one step an epoch: the last epoch is not at 0."""
    return lambda epoch: learning_rate * (1 + math.cos(math.pi * math.floor(epoch) / epochs)) / 2


def smooth_cosine(learning_rate: float, epochs: float) -> Schedule:
    """Half a cosine, a step a batch: the last is near 0."""
    return lambda epoch: learning_rate * (1 + math.cos(math.pi * epoch / epochs)) / 2


def tent(learning_rate: float, epochs: float) -> Schedule:
    """A rate that rises, epoch by epoch, over the first half of the epochs and falls over the second."""
    whole = math.ceil(epochs)
    top = (whole + 1) // 2
    return lambda epoch: learning_rate * min((int(epoch) + 1) / top, (whole - int(epoch)) / (whole + 1 - top))


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


def sgd_or_adam(model: nn.Module, kind: Optimiser, learning_rate: float, momentum: float, weight_decay: float) -> Optimizer:
    """Of all weights; in either, weight decay is added to the gradient. Adam has a momentum of its own."""
    if kind == "adam":
        return Adam(model.parameters(), learning_rate, weight_decay=weight_decay)
    return SGD(model.parameters(), learning_rate, momentum=momentum, weight_decay=weight_decay)
