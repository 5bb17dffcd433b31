"""UAM: descend the loss on retain by the gradient that it has where the loss on forget is higher.

Source: Kim et al. 2025 (NeurIPS); public code: Harry24k/torchunlearn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn
from torch.nn.functional import normalize
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy, set_learning_rate
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import Columns, MethodData
from bench.trial import Trial
from bench.weights import assign, flat, gradient, parameters

from .finetune import FineTune
from .training import cosine, smooth_cosine


@dataclass(frozen=True)
class Paired(FineTune):
    """Fine-tuning in which each batch of retain is paired with one of forget, which begins again when it is through."""

    epochs: Annotated[Positive, Search(0.25, 2.0)] = 1.0  # ours: what fits a budget of 20 % of retraining
    batch_size: Count = 64  # ours: that of the embedded task's training
    momentum: Share = 0.9  # ours: usual
    weight_decay: NotNegative = 5e-4  # ours: usual
    forget_batch: Count = 64  # ours: as many as of retain
    uses_forget: ClassVar[bool] = True
    cost: ClassVar[str] = "epochs over retain, with a batch of forget in every step"

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Take a step on each pair."""
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        rate, batches = cosine(self.learning_rate, self.epochs), data.retain.steps(self.batch_size)
        forget = data.forget.epochs(math.inf, self.forget_batch)
        pairs = zip(data.retain.epochs(self.epochs, self.batch_size), forget, strict=False)
        for taken, (keep, lose) in enumerate(pairs):
            set_learning_rate(optimizer, rate(taken / batches))
            optimizer.zero_grad()
            self.differentiate(model, keep, lose, taken / batches)
            optimizer.step()
        return model

    def differentiate(self, model: nn.Module, retain: Columns, forget: Columns, epoch: float) -> None:
        """Leave the gradient of a step in `grad`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Uam(Paired):
    """The gradient of cross-entropy on retain, taken `rho` up the loss on forget, moves the weights from where they were.

    Each model goes up along its own gradient on a batch of forget, as far as `rho`, which falls to 0 along half a cosine, a step
    a batch. Both passes are in train mode and move statistics of batch normalisation. The projection in the paper's algorithm
    for language models is left out, as in the public code. The learning rate is ours: the paper could not be read in full.

    Source: Kim et al. 2025 (NeurIPS).
    """

    epochs: Annotated[Positive, Search(0.25, 2.0)] = 0.33  # quick search
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 8.4e-3  # quick search
    rho: Annotated[NotNegative, Search(0.01, 2.0, log=True)] = 0.23  # quick search
    paper: ClassVar[Paper] = Paper(
        title="Unlearning-Aware Minimization",
        authors="Kim, Hoki and Kim, Keonwoo and Chae, Sungwon and Yoon, Sangwon",
        venue="NeurIPS",
        year=2025,
        url="https://openreview.net/forum?id=kAuckbcMvi",
        code="https://github.com/Harry24k/torchunlearn",
    )
    reconstruction: ClassVar[str] = "all but the direction of a step: the paper could not be read in full"

    def differentiate(self, model: nn.Module, retain: Columns, forget: Columns, epoch: float) -> None:
        """Go up, differentiate there, come back."""
        images, labels = forget
        upwards = flat(gradient(model, cross_entropy(model(images), labels)))
        here, rho = flat(parameters(model)), smooth_cosine(self.rho, self.epochs)(epoch)
        assign(parameters(model), here + rho * normalize(upwards, dim=1))
        images, labels = retain
        cross_entropy(model(images), labels).sum().backward()
        assign(parameters(model), here)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register UAM."""
    register(Uam)
