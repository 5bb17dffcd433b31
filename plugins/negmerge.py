"""NegMerge: learn forget a little more in several ways, and go the opposite way where all of them agree.

Source: Kim et al. 2025, arXiv:2410.05583 (ICML).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy, step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData, error
from bench.trial import Trial
from bench.weights import Views, assign, choose, flat, parameters, restore, snapshot


def agreed(moves: Tensor) -> Tensor:
    """The mean of moves [n, ...] where all have one sign, elsewhere 0; a move of 0 has none."""
    signs = moves.sign().sum(0).abs()
    return torch.where(signs == len(moves), moves.mean(0), 0.0)


@dataclass(frozen=True)
class NegMerge(Method):
    """The original minus `scale` times the mean of task vectors, in the coordinates where all of them have one sign.

    A task vector is what an epoch on forget changes, with a learning rate of its own. Of the scales, each model takes the one
    with the largest error on forget among those that cost it no more than `tolerance` of its accuracy on validation; if all cost
    more, the first. Statistics of batch normalisation are the original's. With one learning rate it is task negation (Ilharco et
    al. 2023, arXiv:2212.04089).

    The paper's rates could not be read: they are a reconstruction.

    Source: Kim et al. 2025, arXiv:2410.05583.
    """

    learning_rates: tuple[float, ...] = (1e-4, 5e-4, 1e-3)  # reconstruction
    epochs: Annotated[Positive, Search(0.5, 4.0)] = 3.8  # of each; quick search; paper has 1
    scales: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)  # the paper's is 1 or is chosen
    tolerance: Annotated[NotNegative, Search(0.0, 0.05)] = 0.028  # quick search; paper has .01
    batch_size: Count = 64  # reconstruction
    momentum: Share = 0.9  # reconstruction
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    fixed_share: ClassVar[float] = 0.04  # validation and forget are seen once for each scale
    cost: ClassVar[str] = "epochs over forget, once for each learning rate, and validation and forget once for each scale"
    reconstruction: ClassVar[str] = "the paper's learning rates, batch size and momentum could not be read"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 1.0, "tolerance": 0.01},
        "task-negation": {"epochs": 1.0, "tolerance": 0.01, "learning_rates": (1e-3,), "scales": (1.0,)},
    }
    paper: ClassVar[Paper] = Paper(
        title="NegMerge: Sign-Consensual Weight Merging for Machine Unlearning",
        authors="Kim, Hyo Seo and Han, Dongyoon and Choe, Junsuk",
        venue="ICML",
        year=2025,
        url="https://arxiv.org/abs/2410.05583",
        code="https://github.com/naver-ai/negmerge",
    )

    def __post_init__(self) -> None:
        if not self.learning_rates or not self.scales or min(*self.learning_rates, *self.scales) <= 0:
            raise ValueError("learning_rates and scales must be numbers above 0, one or more of each")

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Learn, merge, and choose how far to go."""
        start = snapshot(model)
        origin = flat(parameters(model))
        move = agreed(torch.stack([self.learnt(model, data, rate) - origin for rate in self.learning_rates]))
        restore(model, start)
        usual, points = error(model, data.validation).view(-1), []
        for scale in self.scales:
            assign(parameters(model), origin - scale * move)
            points.append(snapshot(model))
        choose(model, points, self.best(model, data, points, usual))
        return model

    def learnt(self, model: nn.Module, data: MethodData, rate: float) -> Tensor:
        """Where an epoch on forget leads from here [M, P]; the model is as it was then."""
        before = snapshot(model)
        optimizer = SGD(model.parameters(), rate, momentum=self.momentum)
        for images, labels in data.forget.epochs(self.epochs, self.batch_size):
            step(optimizer, cross_entropy(model(images), labels))
        reached = flat(parameters(model))
        restore(model, before)
        return reached

    def best(self, model: nn.Module, data: MethodData, points: Sequence[Views], usual: Tensor) -> Tensor:
        """Of each model, the point that forgets most among those that are good enough, given the usual error: [M]."""
        wrong, forgotten = [], []
        for point in points:
            restore(model, point)
            wrong.append(error(model, data.validation).view(-1))
            forgotten.append(error(model, data.forget).view(-1))
        good = torch.stack(wrong) <= usual + self.tolerance
        return torch.where(good, torch.stack(forgotten), -1.0).argmax(0)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register NegMerge."""
    register(NegMerge)
