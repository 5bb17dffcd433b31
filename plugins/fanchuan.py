"""Fanchuan: answer evenly on forget, then keep away from retain in turns with ordinary training on retain.

Source: the second of the challenge (Triantafillou et al. 2024, arXiv:2406.09073, section 5); settings from the port in
xcadet/deepunlearn (kgltop1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from bench import Method, hookimpl
from bench.losses import kl_divergence, step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData
from bench.trial import Trial

from .finetune import CHALLENGE
from .training import constant, train_on

LOWEST_RATE = 1e-6  # public code


def unevenness(logits: Tensor) -> Tensor:
    """KL(uniform || softmax(logits)), one value per model."""
    return kl_divergence(torch.zeros_like(logits), logits)


def contrast(forget: Tensor, retain: Tensor, temperature: float) -> Tensor:
    """Minus the mean of log softmax over the retain examples of a batch, from logits of both: one value per model."""
    return -(forget @ retain.mT / temperature).log_softmax(-1).mean((-2, -1))


@dataclass(frozen=True)
class Fanchuan(Method):
    """A pass over forget towards even answers; then rounds of a contrastive pass over forget and an epoch on retain.

    In a contrastive step each forget example's logits are compared with those of a retain batch, which are constants; both
    batches are seen in train mode. Such a pass has as many steps as the smaller set has batches. Three optimisers keep their own
    momentum through all rounds.

    Source: Triantafillou et al. 2024, arXiv:2406.09073, section 5 (Fanchuan).
    """

    rounds: Annotated[Count, Search(1, 8)] = 2  # what fits a budget of 20 % of retraining; published 8
    even_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 5e-3  # public code
    contrast_rate: Annotated[Positive, Search(1e-5, 1e-2, log=True)] = 3e-4  # public code
    retain_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 4e-3  # public code: .001 for batches of 64, times 4
    temperature: Annotated[Positive, Search(0.1, 10.0, log=True)] = 1.15  # public code
    forget_batch: Count = 64  # public code
    retain_batch: Count = 256  # public code
    momentum: Share = 0.9  # public code
    weight_decay: NotNegative = 1e-2  # public code; on retain only
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("rounds",)
    cost: ClassVar[str] = "rounds over retain, rounds and one more over forget"
    paper: ClassVar[Paper] = replace(CHALLENGE, code="https://github.com/xcadet/deepunlearn")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"rounds": 8, "even_rate": 5e-3, "contrast_rate": 3e-4, "retain_rate": 4e-3, "temperature": 1.15}
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Even out, then alternate."""
        even, apart = (SGD(model.parameters(), rate, self.momentum) for rate in (self.even_rate, self.contrast_rate))
        repair = SGD(model.parameters(), self.retain_rate, self.momentum, weight_decay=self.weight_decay)
        for images, _ in data.forget.batches(self.forget_batch):
            step(even, unevenness(model(images)))
        steps = self.rounds * data.forget.steps(self.forget_batch)
        schedule = CosineAnnealingLR(apart, steps, eta_min=LOWEST_RATE)
        rate = constant(self.retain_rate)
        for _ in range(self.rounds):
            self.part(model, data, apart, schedule)
            train_on(model, data.retain, epochs=1, batch_size=self.retain_batch, optimizer=repair, rate=rate)
        return model

    def part(self, model: nn.Module, data: MethodData, optimizer: Optimizer, schedule: LRScheduler) -> None:
        """One contrastive pass over forget, or over retain if that has fewer batches."""
        pairs = zip(data.forget.batches(self.forget_batch), data.retain.batches(self.retain_batch), strict=False)
        for (images, _), (others, _) in pairs:
            forget = model(images)
            with torch.no_grad():
                retain = model(others)
            step(optimizer, contrast(forget, retain, self.temperature))
            schedule.step()


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register Fanchuan."""
    register(Fanchuan)
