"""Selective synaptic dampening: shrink the weights that matter much more to forget than to all the data; no training.

Source: Foster et al. 2024, arXiv:2308.07707; public code: if-loops/selective-synaptic-dampening.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Count, Paper, Positive, Search
from bench.splits import MethodData, Split
from bench.trial import Trial
from bench.weights import flat, gradient, parameters, unflatten

SINGLY = 0.85  # of a retraining: the same with single examples
LEAST_SHARE = 0.12  # of a retraining: a pass over all examples and one over forget


@dataclass(frozen=True)
class Ssd(Method):
    """theta * min(dampening * I_D / I_F, 1) where I_F > alpha * I_D; every other weight, and all statistics, stay.

    I is the importance of a weight: in evaluation mode, the mean over batches of the squared gradient of a batch's mean
    cross-entropy, on forget (I_F) and on retain and forget together (I_D, as in the public code; not retain alone). It depends on
    the size of batches, and on which examples share one: that is all that differs between trials.

    Kinds: "per_example" squares the gradients of single examples (arXiv:2510.26714, appendix B), in the splits' order. It is
    deterministic: every trial of one original gives the same model. "lfssd" needs no labels: the loss is the squared norm of the
    logits, and the importance the gradient's absolute value (public code). Either compares smoother quantities: on the embedded
    task both leave the model as it is at an alpha of 10, and need a lower one; "per_example" takes four times a budget of 20 %.

    Source: Foster et al. 2024, arXiv:2308.07707.
    """

    alpha: Annotated[Positive, Search(1.0, 100.0, log=True)] = 14.0  # quick search; paper has 10
    dampening: Annotated[Positive, Search(0.1, 1.0, log=True)] = 0.97  # its lambda; quick search; paper has 1
    batch_size: Count = 128  # public code: 128 to 256, by data set
    kind: Literal["batches", "per_example", "lfssd"] = "batches"  # paper
    stackable: ClassVar[bool] = True
    cost: ClassVar[str] = "one pass over retain and two over forget"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"alpha": 10.0, "dampening": 1.0, "batch_size": 128, "kind": "batches"}
    }
    paper: ClassVar[Paper] = Paper(
        title="Fast machine unlearning without retraining through selective synaptic dampening",
        authors="Foster, Jack and Schoepf, Stefan and Brintrup, Alexandra",
        venue="AAAI",
        year=2024,
        url="https://arxiv.org/abs/2308.07707",
        code="https://github.com/if-loops/selective-synaptic-dampening",
    )

    def within(self, share: float) -> Self:
        """Itself: it has no epochs.

        Raises:
            ValueError: its passes do not go into the budget.
        """
        least = SINGLY if self.kind == "per_example" else LEAST_SHARE
        if share < least:
            raise ValueError(f"one pass over all examples is the least of it, about {100 * least:g} % of a retraining")
        return self

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Compare importances, and dampen."""
        model.eval()
        overall, forget = (self.importance(model, split) for split in (data.retain.joined(data.forget), data.forget))
        model.train()
        shrunk = (self.dampening * overall / forget).clamp(max=1.0)
        views = parameters(model)
        for name, scale in unflatten(torch.where(forget > self.alpha * overall, shrunk, 1.0), views).items():
            views[name].mul_(scale)
        return model

    def importance(self, model: nn.Module, split: Split) -> Tensor:
        """How much each weight matters to a split, in the order of `parameters`: [M, P]."""
        single = self.kind == "per_example"
        total, batches = torch.zeros_like(flat(parameters(model))), 0
        for images, labels in split.batches(1 if single else self.batch_size, shuffle=not single, singles=True):
            slope = flat(gradient(model, self.loss(model(images), labels)))
            total += slope.abs() if self.kind == "lfssd" else slope.square()
            batches += 1
        return total / batches

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What importance is measured by, per model."""
        return logits.square().sum(-1).mean(-1) if self.kind == "lfssd" else cross_entropy(logits, labels)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register SSD."""
    register(Ssd)
