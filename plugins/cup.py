"""CUP: turn from what only keeps retain towards what only forgets, by a share of the angle between the two.

Source: Hwang and Lim 2025, arXiv:2510.19226.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor, nn
from torch.nn.functional import normalize

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Paper, Positive, Search, Share
from bench.splits import Columns
from bench.weights import assign, flat, gradient, gradients

from .uam import Paired


def without(table: Tensor, direction: Tensor) -> Tensor:
    """Rows of length 1, of [M, P] less its component along the rows of another."""
    unit = normalize(direction, dim=1)
    return normalize(table - (table * unit).sum(1, keepdim=True) * unit, dim=1)


def angle(forget: Tensor, retain: Tensor) -> Tensor:
    """Per model, that between each gradient less its component along the other: [M, 1]."""
    return (without(retain, forget) * without(forget, retain)).sum(1, keepdim=True).clamp(-1, 1).acos()


def pivoted(forget: Tensor, retain: Tensor, gamma: float) -> Tensor:
    """The direction between both gradients [M, P], as long as their mean."""
    turn = gamma * angle(forget, retain)
    length: Tensor = ((forget + retain) / 2).norm(dim=1, keepdim=True)
    direction: Tensor = turn.sin() * normalize(forget, dim=1) + turn.cos() * without(retain, forget)
    return length * direction


@dataclass(frozen=True)
class Cup(Paired):
    """Each step goes along the gradient on retain less what it has in common with that of forget, turned towards forgetting.

    Forgetting has the gradient f of minus cross-entropy on a batch of forget, keeping the gradient r of cross-entropy on one of
    retain. At a `gamma` of 0 a step has no component along f, at 1 none along r; in between it is turned by that share of the
    angle, so `gamma` says how strongly to forget. It is as long as the mean of f and r. Both passes are in train mode and move
    statistics of batch normalisation.

    The released file does not run; what it computes was read from it. Optimiser, rate and epochs are ours.

    Source: Hwang and Lim 2025, arXiv:2510.19226.
    """

    learning_rate: Annotated[Positive, Search(1e-5, 1e-2, log=True)] = 1e-3  # ours: 1e-2 is chaotic on the embedded task
    gamma: Annotated[Share, Search(0.0, 1.0)] = 0.5  # ours: the middle
    paper: ClassVar[Paper] = Paper(
        title="Controllable Machine Unlearning via Gradient Pivoting",
        authors="Hwang, Youngsik and Lim, Dong-Young",
        venue="arXiv",
        year=2025,
        url="https://arxiv.org/abs/2510.19226",
    )
    reconstruction: ClassVar[str] = "all but the direction of a step: the released file does not run"

    def differentiate(self, model: nn.Module, retain: Columns, forget: Columns, epoch: float) -> None:
        """Put both gradients together."""
        images, labels = forget
        losing = gradient(model, -cross_entropy(model(images), labels))
        images, labels = retain
        cross_entropy(model(images), labels).sum().backward()
        keeping = gradients(model)
        assign(keeping, pivoted(flat({name: losing[name] for name in keeping}), flat(keeping), self.gamma))


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register CUP."""
    register(Cup)
