"""Random labels: train on forget with labels drawn at random, and on retain with its own.

Source: Graves et al. 2021, arXiv:2010.10981; constants and variants from public code (OPTML-Group/Unlearn-Saliency,
if-loops/selective-synaptic-dampening).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from bench import Method, hookimpl
from bench.losses import cross_entropy, step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import Columns, MethodData, Split
from bench.trial import Trial

from .training import Optimiser, sgd_or_adam


def portions(epochs: float) -> list[float]:
    """Whole epochs one by one, then what is left.

    >>> portions(2.5)
    [1.0, 1.0, 0.5]
    """
    return [min(1.0, epochs - done) for done in range(math.ceil(epochs))]


def wrong_labels(forget: Split, trial: Trial) -> Tensor:
    """Uniform labels other than the true ones: [n], or [M, n] for a stack."""
    return (forget.labels + 1 + trial.integers(trial.classes - 1, len(forget))) % trial.classes


@dataclass(frozen=True)
class RandomLabel(Method):
    """Cross-entropy, on forget with uniform random labels.

    `interleaved`: each epoch is a pass over forget, with new labels for every batch, then one over retain. `concatenated`: both
    are shuffled together, with new labels in every epoch. In either a label may be the true one. `distinct`: shuffled together,
    with labels drawn once, never the true ones. The rate is constant: the epochs after which sources lower it are never reached.

    Source: Graves et al. 2021, arXiv:2010.10981.
    """

    scheme: Literal["interleaved", "concatenated", "distinct"] = "interleaved"  # public code (SalUn, CIFAR-10)
    epochs: Annotated[Positive, Search(0.5, 2.0)] = 2.0  # what fits a budget of 20 % of retraining; public code has 10
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-2  # public code (SalUn)
    batch_size: Count = 64  # that of the embedded task's training; public code has 256
    optimizer: Optimiser = "sgd"  # public code (SalUn)
    momentum: Share = 0.9  # public code (SalUn); of SGD, Adam has its own
    weight_decay: NotNegative = 5e-4  # public code (SalUn); in either optimiser added to the gradient
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over forget and retain"
    paper: ClassVar[Paper] = Paper(
        title="Amnesiac Machine Learning",
        authors="Graves, Laura and Nagisetty, Vineel and Ganesh, Vijay",
        venue="AAAI",
        year=2021,
        url="https://arxiv.org/abs/2010.10981",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "salun": {"epochs": 10.0, "learning_rate": 1e-2, "batch_size": 256},
        "salun-cifar100": {"epochs": 10.0, "learning_rate": 1e-2, "batch_size": 256, "scheme": "concatenated"},
        "ssd": {
            "scheme": "distinct",
            "epochs": 3.0,
            "batch_size": 128,
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "weight_decay": 0.0,
        },
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Train on both."""
        self.train(model, data, trial, self.made_optimizer(model))
        return model

    def made_optimizer(self, model: nn.Module) -> Optimizer:
        """The optimiser of all passes."""
        return sgd_or_adam(model, self.optimizer, self.learning_rate, self.momentum, self.weight_decay)

    def train(self, model: nn.Module, data: MethodData, trial: Trial, optimizer: Optimizer) -> None:
        """All steps."""
        batches = self.interleaved if self.scheme == "interleaved" else self.mixed
        for images, labels in batches(data, trial):
            step(optimizer, cross_entropy(model(images), labels))

    def interleaved(self, data: MethodData, trial: Trial) -> Iterator[Columns]:
        """Batches of forget, then those of retain."""
        for portion in portions(self.epochs):
            for images, labels in data.forget.epochs(portion, self.batch_size):
                yield images, trial.integers(trial.classes, labels.shape[-1])
            yield from data.retain.epochs(portion, self.batch_size)

    def mixed(self, data: MethodData, trial: Trial) -> Iterator[Columns]:
        """Batches of both together."""
        once = wrong_labels(data.forget, trial) if self.scheme == "distinct" else None
        for portion in portions(self.epochs):
            labels = trial.integers(trial.classes, len(data.forget)) if once is None else once
            yield from data.retain.joined(data.forget.labelled(labels)).epochs(portion, self.batch_size)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register random labels."""
    register(RandomLabel)
