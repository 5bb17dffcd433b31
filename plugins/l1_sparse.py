"""L1-sparse: fine-tune on retain with a penalty on the size of all weights that falls to nothing.

Source: Jia et al. 2023, arXiv:2304.04934; public code: OPTML-Group/Unlearn-Sparse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.method import Count, CountFromZero, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import sums

from .training import constant, plain, train_on


@dataclass(frozen=True)
class L1Sparse(Method):
    """Cross-entropy on retain plus `penalty` times the sum of all weights' absolute values, those of batch normalisation too.

    In epoch t (from 0) of E the penalty is `penalty` times 1 - t / (E - n), and 0 in the last n = `no_penalty_epochs`.
    The rate is constant: the epochs after which the public code lowers it are never reached.

    Source: Jia et al. 2023, arXiv:2304.04934.
    """

    epochs: Annotated[Positive, Search(0.5, 2.5)] = 1.1  # quick search; public code has 10
    penalty: Annotated[NotNegative, Search(1e-5, 1e-2, log=True)] = 4.8e-3  # quick search; public code has 5e-4
    no_penalty_epochs: CountFromZero = 0  # public code
    learning_rate: Annotated[Positive, Search(1e-3, 1e-1, log=True)] = 2.5e-3  # quick search; public code has 1e-2
    batch_size: Count = 64  # that of the embedded task's training; public code has 256
    momentum: Share = 0.9  # public code
    weight_decay: NotNegative = 5e-4  # public code
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over retain"
    paper: ClassVar[Paper] = Paper(
        title="Model Sparsity Can Simplify Machine Unlearning",
        authors="Jia, Jinghan and Liu, Jiancheng and Ram, Parikshit and others",
        venue="NeurIPS",
        year=2023,
        url="https://arxiv.org/abs/2304.04934",
        code="https://github.com/OPTML-Group/Unlearn-Sparse",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 10.0, "penalty": 5e-4, "learning_rate": 1e-2, "batch_size": 256}
    }

    def penalty_at(self, epoch: float) -> float:
        """What the penalty is after a number of epochs, with its fraction."""
        penalised, passed = self.epochs - self.no_penalty_epochs, math.floor(epoch)
        return self.penalty * (1 - passed / penalised) if passed < penalised else 0.0

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Train on retain."""

        def loss(logits: Tensor, labels: Tensor, epoch: float) -> Tensor:
            size = sums(model, (parameter.abs() for parameter in model.parameters()))
            return plain(logits, labels, epoch) + self.penalty_at(epoch) * size

        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        rate = constant(self.learning_rate)
        train_on(model, data.retain, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate, loss=loss)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register L1-sparse."""
    register(L1Sparse)
