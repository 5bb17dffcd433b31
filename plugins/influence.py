"""Influence unlearning: one Newton-like step away from forget, its inverse Hessian by the WoodFisher recursion.

Source: Izzo et al. 2021, arXiv:2002.10077; recursion: Singh and Alistarh 2020, arXiv:2004.14340; public code:
OPTML-Group/Unlearn-Sparse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from bench import Method, hookimpl
from bench.budget import as_fits
from bench.losses import cross_entropy
from bench.method import Count, Paper, Positive, Search
from bench.splits import Columns, MethodData, Split
from bench.trial import Trial
from bench.weights import flat, gradient, parameters, unflatten

BATCH = 256  # of mean gradients, which do not depend on it
USUAL_PASSES = 2.0  # of a share of 20 %; one goes into mean gradients
LEAST_SHARE = 0.11


def mean_gradient(model: nn.Module, split: Split) -> Tensor:
    """The gradient of a split's mean cross-entropy: [M, P]."""
    total = torch.zeros_like(flat(parameters(model)))
    for images, labels in split.batches(BATCH, shuffle=False):
        total += labels.shape[-1] / len(split) * flat(gradient(model, cross_entropy(model(images), labels)))
    return total


def times_inverse(model: nn.Module, vector: Tensor, examples: Iterable[Columns], count: int) -> Tensor:
    """About the inverse Hessian times a vector [M, P], from up to count + 2 single examples; the first only starts it."""
    gradients = (flat(gradient(model, cross_entropy(model(images), labels))) for images, labels in islice(examples, count + 2))
    kept, done = next(gradients).clone(), vector.clone()
    for own in gradients:
        product = (kept * own).sum(1, keepdim=True)
        done -= (done * own).sum(1, keepdim=True) / (count + product) * kept
        kept -= product / (count + product) * kept
    return done


@dataclass(frozen=True)
class Influence(Method):
    """theta + alpha * H^-1 v, v = n_F / (n_F + n_R) * (mean gradient on forget - mean gradient on retain), in evaluation mode.

    H^-1 v is what the public code computes, which keeps one vector where WoodFisher keeps a matrix. Its examples are random
    retain examples of each trial (the public code's are in a fixed order): they are all that differs between trials. With all of
    retain and a fixed order it would be deterministic.

    Source: Izzo et al. 2021, arXiv:2002.10077; Jia et al. 2023, arXiv:2304.04934 (public code).
    """

    alpha: Annotated[Positive, Search(0.1, 100.0, log=True)] = 1.0  # quick search; public code has .2
    examples: Count = 200  # what fits a budget of 20 % of retraining; public code has 1000
    stackable: ClassVar[bool] = True
    cost: ClassVar[str] = "one pass over retain and forget, and single examples"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"alpha": 0.2, "examples": 1000}}
    paper: ClassVar[Paper] = Paper(
        title="Approximate data deletion from machine learning models",
        authors="Izzo, Zachary and Smart, Mary Anne and Chaudhuri, Kamalika and Zou, James",
        venue="AISTATS",
        year=2021,
        url="https://arxiv.org/abs/2002.10077",
        code="https://github.com/OPTML-Group/Unlearn-Sparse",
    )

    def within(self, share: float) -> Self:
        """As many single examples as go into the budget beside the pass over everything.

        Raises:
            ValueError: that pass does not go into it.
        """
        if share < LEAST_SHARE:
            raise ValueError(f"one pass over all examples is the least of it, about {100 * LEAST_SHARE:g} % of a retraining")
        return replace(self, examples=max(1, round(self.examples * (as_fits(USUAL_PASSES, share) - 1))))

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """One step."""
        model.eval()
        forget, retain = len(data.forget), len(data.retain)
        away = forget / (forget + retain) * (mean_gradient(model, data.forget) - mean_gradient(model, data.retain))
        change = self.alpha * times_inverse(model, away, data.retain.batches(1), self.examples)
        model.train()
        views = parameters(model)
        for name, part in unflatten(change, views).items():
            views[name].add_(part)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register influence unlearning."""
    register(Influence)
