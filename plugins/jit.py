"""JiT: make the model smooth around forget, by answers that hardly change when noise is added to the images.

Source: Foster et al. 2024, arXiv:2402.01401; public code: jwf40/Information-Theoretic-Unlearning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.budget import as_fits
from bench.losses import step
from bench.method import Count, Paper, Positive, Search
from bench.splits import MethodData
from bench.trial import Trial

TINY = 1e-12  # of a distance between images: noise is cut off where a batch is of one brightness
LEAST_SHARE = 0.06  # of a retraining: one pass with its copies


def noisy(images: Tensor, noise: Tensor, lead: int) -> Tensor:
    """Images with noise added, cut to the range of brightnesses of their batch; the first `lead` dimensions are models."""
    pixels, one_each = images.flatten(lead), (*images.shape[:lead], *[1] * (images.dim() - lead))
    low, high = pixels.amin(-1).view(one_each), pixels.amax(-1).view(one_each)
    return torch.minimum(torch.maximum(images + noise, low), high)


def steepness(logits: Tensor, others: Tensor, moved: Tensor) -> Tensor:
    """How far answers move for how far images were `moved`, summed over examples: one value per model."""
    distances = moved.flatten(logits.dim() - 1).norm(dim=-1)
    slopes: Tensor = (logits - others).norm(dim=-1) / distances.clamp(min=TINY)
    return slopes.sum(-1)


@dataclass(frozen=True)
class Jit(Method):
    """Minimise, on forget, how steeply logits change from an image to noisy copies of it; retain is not seen.

    Per batch one step of plain SGD on the mean over copies of the sum over examples of |logits - logits of the copy| / |image -
    copy|; the copy's logits are fixed. The public code never clears gradients, so that those of earlier batches are added again:
    here they are cleared. Like there, the model is in train mode, so BatchNorm statistics drift to forget and its copies.

    Source: Foster et al. 2024, arXiv:2402.01401.
    """

    passes: Count = 1  # public code
    copies: Annotated[Count, Search(1, 50, log=True)] = 25  # public code
    noise: Annotated[Positive, Search(1e-3, 1.0, log=True)] = 0.01  # public code, random forgetting, VGG
    learning_rate: Annotated[Positive, Search(1e-6, 1e-1, log=True)] = 3e-4  # public code, random forgetting, VGG
    batch_size: Count = 64  # public code has 128, which a small forget set does not fill
    stackable: ClassVar[bool] = True
    cost: ClassVar[str] = "one pass over forget and forward passes over it, one for each copy"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"copies": 25, "noise": 0.01, "learning_rate": 3e-4, "batch_size": 128},
        "vit": {"copies": 25, "noise": 0.5, "learning_rate": 0.1, "batch_size": 128},
    }
    paper: ClassVar[Paper] = Paper(
        title="An Information Theoretic Approach to Machine Unlearning",
        authors="Foster, Jack and Fogarty, Kyle and Schoepf, Stefan and Dugue, Zack and others",
        venue="TMLR",
        year=2025,
        url="https://arxiv.org/abs/2402.01401",
        code="https://github.com/jwf40/Information-Theoretic-Unlearning",
    )

    def within(self, share: float) -> Self:
        """As many passes as go into the budget where the default goes into the usual one, though one where that goes into it.

        Raises:
            ValueError: not one does.
        """
        if share < LEAST_SHARE:
            raise ValueError(f"one pass with all its copies is the least of it, about {100 * LEAST_SHARE:g} % of a retraining")
        return replace(self, passes=max(1, math.floor(as_fits(self.passes, share))))

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Take a step on every batch."""
        optimizer = SGD(model.parameters(), self.learning_rate)
        for images, _ in data.forget.epochs(self.passes, self.batch_size):
            step(optimizer, self.loss(model, images, trial))
        return model

    def loss(self, model: nn.Module, images: Tensor, trial: Trial) -> Tensor:
        """The mean over copies."""
        logits, lead = model(images), len(trial.lead)
        values = []
        for _ in range(self.copies):
            noise = trial.normal_like(images if trial.stacked else images[None]).view_as(images)
            copy = noisy(images, self.noise * noise, lead)
            with torch.no_grad():
                others = model(copy)
            values.append(steepness(logits, others, copy - images))
        return torch.stack(values).mean(0)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register JiT."""
    register(Jit)
