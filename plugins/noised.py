"""What methods with a proof have in common: weights in a ball, hidden in noise, and fine-tuned with frozen statistics.

Source: Koloskova et al. 2025, arXiv:2506.06985 (ICML).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn
from torch.optim import SGD

from bench import Method
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import across, flat, parameters

from .training import cosine, train_on

DELTA = 1e-5
GIVEN = "of weights, given the original's statistics of batch normalisation"

CERTIFIED = Paper(
    title="Certified Unlearning for Neural Networks",
    authors="Koloskova, Anastasia and Allouah, Youssef and Jha, Animesh and others",
    venue="ICML",
    year=2025,
    url="https://arxiv.org/abs/2506.06985",
    code="https://github.com/stair-lab/certified-unlearning-neural-networks-icml-2025",
)


def as_proven(rho: float, delta: float) -> str:
    """The divergence, and what that is as differential privacy (Bun and Steinke 2016, arXiv:1605.02065, proposition 1.3)."""
    epsilon = rho + 2 * math.sqrt(rho * math.log(1 / delta))
    return f"Renyi divergence of order q at most {rho:.3g} q, so ({epsilon:.3g}, {delta:g})-unlearning; {GIVEN}"


@dataclass(frozen=True)
class Noised(Method):
    """Weights are scaled to norm `radius` at most and hidden in noise, scaled again, and fine-tuned on retain."""

    epsilon: Annotated[Positive, Search(1.0, 1e4, log=True)] = 1.0  # paper
    radius: Annotated[Positive, Search(1.0, 30.0, log=True)] = 10.0  # ours: about half of the norm that the original has
    epochs: Annotated[Positive, Search(0.5, 1.5)] = 1.5  # of the repair: what fits a budget of 20 % of retraining
    learning_rate: Annotated[Positive, Search(1e-3, 1e-1, log=True)] = 1e-2  # ours
    batch_size: Count = 64  # ours
    momentum: Share = 0.9  # ours
    weight_decay: NotNegative = 5e-4  # ours
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    paper: ClassVar[Paper] = CERTIFIED

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Shrink, hide, shrink, repair."""
        model.eval()
        self.shrink(model)
        self.hide(model, data, trial)
        self.shrink(model)
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        rate = cosine(self.learning_rate, self.epochs)
        train_on(model, data.retain, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate)
        return model.train()

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise that is added at a time."""
        raise NotImplementedError

    def hide(self, model: nn.Module, data: MethodData, trial: Trial) -> None:
        """Add noise, and what belongs to it."""
        raise NotImplementedError

    def shrink(self, model: nn.Module) -> None:
        """Scale each model's weights, all of them together."""
        views = parameters(model)
        scale = (self.radius / flat(views).norm(dim=1)).clamp(max=1.0)
        for view in views.values():
            view.mul_(across(scale, view))

    def add_noise(self, model: nn.Module, trial: Trial) -> None:
        """Add normal noise to every weight."""
        for view in parameters(model).values():
            view.add_(self.sigma * trial.normal_like(view))
