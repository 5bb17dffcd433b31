"""Negative gradient: ascend the loss on forget. It forgets, and forgets more than it should.

Source: Golatkar et al. 2020, arXiv:1911.04933 (NegGrad); gradients are clipped, since the loss has no upper bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Count, Paper, Positive, Search
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import clip, flat, parameters

SPOTLESS = Paper(
    title="Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
    authors="Golatkar, Aditya and Achille, Alessandro and Soatto, Stefano",
    venue="CVPR",
    year=2020,
    url="https://arxiv.org/abs/1911.04933",
)


def check_finite(model: nn.Module) -> None:
    """Weights that are no longer finite are an error, not a result.

    Where some models of a stack are finite, nothing is said: nobody but the engine can tell which trial is to blame, and it does.

    Raises:
        FloatingPointError: every model has some that are not.
    """
    if not flat(parameters(model)).isfinite().all(1).any():
        raise FloatingPointError("gradient ascent diverged; lower learning_rate")


@dataclass(frozen=True)
class NegativeGradient(Method):
    """Gradient ascent on forget with clipped gradients.

    Source: Golatkar et al. 2020, arXiv:1911.04933.
    """

    epochs: Annotated[Positive, Search(0.5, 6.0)] = 2.0  # search on the embedded task (docs/evidence/tuning.md)
    learning_rate: Annotated[Positive, Search(1e-4, 3e-2, log=True)] = 8.5e-3  # search
    batch_size: Annotated[Count, Search(16, 128, log=True)] = 64  # search
    max_norm: Annotated[Positive, Search(0.1, 10.0, log=True)] = 5.0  # search
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over forget"
    paper: ClassVar[Paper] = SPOTLESS

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Ascend."""
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=0.9)
        for images, labels in data.forget.epochs(self.epochs, self.batch_size):
            optimizer.zero_grad()
            (-cross_entropy(model(images), labels)).sum().backward()
            clip(model, self.max_norm)
            optimizer.step()
        check_finite(model)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register negative gradient."""
    register(NegativeGradient)
