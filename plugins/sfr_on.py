"""SFR-on: up the loss on forget, in the weights that matter to it and by how well examples are known; down the loss on retain.

Source: Huang et al. 2024, arXiv:2409.19732 (NeurIPS); public code: K1nght/Unified-Unlearning-w-Remain-Geometry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropies, cross_entropy, set_learning_rate, step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import Columns, MethodData
from bench.trial import Trial
from bench.weights import Views, clip, gradients, parameters, unflatten

from .ssd import Ssd

TINY = 1e-15  # public code


def ascent(logits: Tensor, labels: Tensor) -> Tensor:
    """Minus the mean of the examples' losses, weighted by 1 over the root of each: what is known well counts most."""
    losses = cross_entropies(logits, labels)
    shares = 1 / (losses.detach().sqrt() + TINY)
    return -(shares / shares.sum(-1, keepdim=True) * losses).sum(-1)


@dataclass(frozen=True)
class SfrOn(Method):
    """Of every `every` steps on retain, the first follows one up the loss on forget, in the weights that matter more to forget.

    A weight matters more to forget where the mean over batches of its squared gradient, in evaluation mode at the original model,
    is at least `threshold` times that on retain. The ascent's gradient is masked to these and clipped to `max_norm`; its strength
    falls from `strength` to 0 along half a cosine, as does the learning rate, both a step a batch. One optimiser takes all steps.
    The slow average of weights in the public code has no effect at its published setting, and is left out.

    Source: Huang et al. 2024, arXiv:2409.19732.
    """

    steps: Annotated[Count, Search(10, 60, log=True)] = 13  # quick search; public code has 1500
    every: Count = 5  # public code
    strength: Annotated[NotNegative, Search(1.0, 100.0, log=True)] = 23.0  # quick search; public code has 25 for CIFAR-10
    max_norm: Annotated[Positive, Search(0.5, 20.0, log=True)] = 11.0  # quick search; public code has 7
    threshold: Annotated[NotNegative, Search(0.3, 10.0, log=True)] = 1.3  # quick search; public code has 1
    learning_rate: Annotated[Positive, Search(1e-3, 1e-1, log=True)] = 3.5e-3  # quick search; public code has 1e-2
    momentum: Share = 0.9  # public code
    weight_decay: NotNegative = 5e-4  # public code
    retain_batch: Count = 128  # public code
    forget_batch: Count = 128  # public code
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("steps",)
    fixed_share: ClassVar[float] = 0.07  # a pass over retain and forget
    cost: ClassVar[str] = "steps, one in five twice, and one pass over retain and forget for the mask"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 1500, "strength": 25.0, "max_norm": 7.0, "threshold": 1.0, "learning_rate": 1e-2}
    }
    paper: ClassVar[Paper] = Paper(
        title="Unified Gradient-Based Machine Unlearning with Remain Geometry Enhancement",
        authors="Huang, Zhehao and Cheng, Xinwen and Zheng, JingHao and others",
        venue="NeurIPS",
        year=2024,
        url="https://arxiv.org/abs/2409.19732",
        code="https://github.com/K1nght/Unified-Unlearning-w-Remain-Geometry",
    )

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Find the mask, then take all steps."""
        kept = self.mask(model, data)
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        retain, forget = data.retain.epochs(math.inf, self.retain_batch), data.forget.epochs(math.inf, self.forget_batch)
        for taken in range(self.steps):
            falling = (1 + math.cos(math.pi * taken / self.steps)) / 2
            set_learning_rate(optimizer, self.learning_rate * falling)
            if taken % self.every == 0:
                self.ascend(model, optimizer, next(forget), self.strength * falling, kept)
            images, labels = next(retain)
            step(optimizer, cross_entropy(model(images), labels))
        return model

    def mask(self, model: nn.Module, data: MethodData) -> Views:
        """True where a weight matters to forget at least as much as it should."""
        importance = Ssd(batch_size=self.forget_batch).importance  # of batches of one size, which it depends on
        model.eval()
        forget, retain = importance(model, data.forget), importance(model, data.retain)
        model.train()
        return unflatten((forget + TINY) / (retain + TINY) >= self.threshold, parameters(model))

    def ascend(self, model: nn.Module, optimizer: SGD, batch: Columns, strength: float, kept: Views) -> None:
        """One step up the loss on a batch of forget."""
        images, labels = batch
        optimizer.zero_grad()
        (strength * ascent(model(images), labels)).sum().backward()
        for name, view in gradients(model).items():
            view.mul_(kept[name])
        clip(model, self.max_norm)
        optimizer.step()


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register SFR-on."""
    register(SfrOn)
