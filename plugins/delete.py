"""DELETE: teach forget what the original model thought of it, without the true class.

Source: Zhou et al. 2025, arXiv:2503.23751 (CVPR).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData, predict
from bench.trial import Trial


def without_true_class(logits: Tensor, labels: Tensor) -> Tensor:
    """Probabilities of the other classes, which add up to 1; the true class has 0."""
    true = labels.expand(logits.shape[:-1])[..., None]
    return logits.scatter(-1, true, -torch.inf).softmax(-1)


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """KL(target || softmax(logits)) per model; targets may hold zeros."""
    return (torch.xlogy(target, target) - target * logits.log_softmax(-1)).sum(-1).mean(-1)


@dataclass(frozen=True)
class Delete(Method):
    """Minimise KL(target || student) on forget; the target is the original's softmax with the true class's logit at -infinity.

    The original speaks in evaluation mode, once. The student trains in train mode on forget alone: its BatchNorm statistics drift
    to forget, and the order of batches is all that differs between trials.

    The paper's optimiser and epochs could not be read: rate, epochs, momentum and weight decay are a reconstruction.

    Source: Zhou et al. 2025, arXiv:2503.23751 (CVPR).
    """

    epochs: Annotated[Positive, Search(2.0, 30.0, log=True)] = 4.0  # quick search
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 3.1e-4  # quick search
    batch_size: Count = 64  # reconstruction
    momentum: Share = 0.9  # reconstruction
    weight_decay: NotNegative = 5e-4  # reconstruction
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over forget"
    reconstruction: ClassVar[str] = "the paper's optimiser, epochs, rate, momentum and weight decay could not be read"
    paper: ClassVar[Paper] = Paper(
        title="Decoupled distillation to erase: A general unlearning method for any class-centric tasks",
        authors="Zhou, Yu and Zheng, Dian and Mo, Qijie and others",
        venue="CVPR",
        year=2025,
        url="https://arxiv.org/abs/2503.23751",
        code="https://github.com/shaaaaron/DELETE",
    )

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Ask the original, then train on its answers."""
        forget = data.forget.carrying(without_true_class(predict(model, data.forget), data.forget.labels))
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        for images, _, target in forget.epochs(self.epochs, self.batch_size):
            step(optimizer, divergence(target, model(images)))
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register DELETE."""
    register(Delete)
