"""Advanced negative gradient: descend the loss on retain and ascend it on forget with equal weights, a batch of each a step.

Source: Choi and Na 2023, arXiv:2311.02240; public code: ndb796/MachineUnlearning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Annotated, Any, ClassVar

from torch import nn
from torch.optim import SGD, Optimizer

from bench import Method, hookimpl
from bench.losses import cross_entropy, step
from bench.method import Count, Paper, Positive, Search
from bench.splits import Columns, MethodData
from bench.trial import Trial

from .negative_gradient import check_finite

MUFAC = Paper(
    title="Towards Machine Unlearning Benchmarks: Forgetting the Personal Identities in Facial Recognition Systems",
    authors="Choi, Dasol and Na, Dongbin",
    venue="arXiv",
    year=2023,
    url="https://arxiv.org/abs/2311.02240",
    code="https://github.com/ndb796/MachineUnlearning",
)


def apart(model: nn.Module, optimizer: Optimizer, retain: Columns, forget: Columns) -> None:
    """One step on cross-entropy(retain) - cross-entropy(forget)."""
    keep, lose = (cross_entropy(model(images), labels) for images, labels in (retain, forget))
    step(optimizer, keep - lose)


@dataclass(frozen=True)
class AdvancedNegGrad(Method):
    """Cross-entropy(retain) - cross-entropy(forget) by plain gradient descent, without bounds.

    Every batch of retain is paired with the next one of forget, which begins again when it is through; pairs of unequal size are
    skipped, as in the public code. Batches are no larger than forget, else all would be. The public code trains in evaluation
    mode, so statistics of batch normalisation stay. Weights that are no longer finite are an error, not a result.

    Source: Choi and Na 2023, arXiv:2311.02240.
    """

    epochs: Annotated[Positive, Search(0.25, 2.5)] = 1.3  # quick search; public code has 2
    learning_rate: Annotated[Positive, Search(1e-4, 1e-2, log=True)] = 1e-3  # public code
    batch_size: Count = 64  # public code
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over retain, with as many examples of forget"
    paper: ClassVar[Paper] = MUFAC
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"mufac": {"epochs": 2.0, "learning_rate": 1e-3, "batch_size": 64}}

    def pairs(self, data: MethodData) -> Iterator[tuple[Columns, Columns]]:
        """A batch of retain and one of forget, of equal size."""
        batch_size = min(self.batch_size, len(data.forget), len(data.retain))
        forget = chain.from_iterable(data.forget.batches(batch_size, singles=True) for _ in count())
        for pair in zip(data.retain.epochs(self.epochs, batch_size), forget, strict=False):
            if pair[0][1].shape == pair[1][1].shape:
                yield pair

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Take a step on each pair."""
        optimizer = SGD(model.parameters(), self.learning_rate)
        model.eval()
        for retain, forget in self.pairs(data):
            apart(model, optimizer, retain, forget)
        check_finite(model)
        return model.train()


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register advanced negative gradient."""
    register(AdvancedNegGrad)
