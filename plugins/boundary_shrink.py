"""Boundary shrink: teach forget the class just across the nearest decision boundary.

Source: Chen et al. 2023, arXiv:2303.11570; public code: OPTML-Group/Unlearn-Saliency (SalUn's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy, step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData, Split
from bench.trial import Trial

BRIGHTNESSES = 255
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "paper": {"epochs": 10.0, "learning_rate": 1e-5, "momentum": 0.9, "weight_decay": 0.0},  # the authors' code
    "salun": {"epochs": 10.0, "learning_rate": 0.01, "batch_size": 256, "momentum": 0.9, "weight_decay": 5e-4},
}
BOUNDARY = Paper(
    title="Boundary unlearning: Rapid forgetting of deep networks via shifting the decision boundary",
    authors="Chen, Min and Gao, Weizhuo and Liu, Gaoyang and Peng, Kai and Wang, Chen",
    venue="CVPR",
    year=2023,
    url="https://arxiv.org/abs/2303.11570",
)


def across(model: nn.Module, images: Tensor, labels: Tensor, distance: float) -> Tensor:
    """Images moved where cross-entropy rises, every pixel by `distance`, in [0, 1] and rounded to 255 brightnesses."""
    images = images.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(cross_entropy(model(images), labels).sum(), images)
    moved = (images.detach() + distance * slope.sign()).clamp(0, 1)
    return (moved * BRIGHTNESSES).round() / BRIGHTNESSES


@dataclass(frozen=True)
class OnForget(Method):
    """Cross-entropy on forget with other labels than its own, in train mode with momentum."""

    epochs: Annotated[Positive, Search(2.0, 30.0, log=True)] = 10.0  # both public codes; fits a budget of 20 % of retraining
    learning_rate: Annotated[Positive, Search(1e-6, 1e-1, log=True)] = 1e-4  # between the authors' 1e-5 and SalUn's 0.01
    batch_size: Count = 64  # public code has 256, which a small forget set does not fill
    momentum: Share = 0.9  # public code
    weight_decay: NotNegative = 5e-4  # public code
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over forget"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PUBLISHED
    paper: ClassVar[Paper] = BOUNDARY

    def fit(self, model: nn.Module, forget: Split) -> None:
        """Train on forget."""
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        for images, labels in forget.epochs(self.epochs, self.batch_size):
            step(optimizer, cross_entropy(model(images), labels))


@dataclass(frozen=True)
class BoundaryShrink(OnForget):
    """Each forget image gets the class that the original gives to the image moved by `distance` against its own label.

    The original answers in evaluation mode and never changes, so every image has one such class, and it is looked up once. It may
    be the image's own, as in the public code. Retain is not seen: BatchNorm statistics drift to forget. The order of batches is
    all that differs between trials.

    SalUn's rate costs most of what retain knows where forget fills few batches, so the default is between the two.

    Source: Chen et al. 2023, arXiv:2303.11570, section 3.2.
    """

    distance: Annotated[Positive, Search(0.01, 0.3, log=True)] = 0.1  # public code; of images in [0, 1]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {name: {**values, "distance": 0.1} for name, values in PUBLISHED.items()}

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Look labels up, then train on them."""
        model.eval()
        labels = self.neighbours(model, data.forget, trial)
        model.train()
        self.fit(model, data.forget.labelled(labels))
        return model

    def neighbours(self, model: nn.Module, forget: Split, trial: Trial) -> Tensor:
        """The class across the boundary from each example: [n], or [M, n] for a stack."""
        found = []
        for images, labels in forget.batches(self.batch_size, shuffle=False):
            own = images.expand(*trial.lead, *images.shape)  # each model of a stack moves them its own way
            found.append(model(across(model, own, labels, self.distance)).argmax(-1))
        return torch.cat(found, -1)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register boundary shrink."""
    register(BoundaryShrink)
