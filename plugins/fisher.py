"""Fisher forgetting: noise on every weight, the larger the less the weight matters to retain; no training.

Source: Golatkar et al. 2020, arXiv:1911.04933; public code: meghdadk/SCRUB, if-loops/selective-synaptic-dampening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Count, Layer, Paper, Positive, Search
from bench.models.layers import last_linear
from bench.splits import Columns, MethodData
from bench.trial import Trial
from bench.weights import Views, flat, gradient, parameters, unflatten

from .negative_gradient import SPOTLESS

MOST, MOST_OF_LAST = 1e3, 1e2  # of 1 / Fisher information, in every layer and in the last
SMALL = 1e-8
TIMES = 10.0  # variance of the last layer, of biases and of normalisation
ALL = 1_000_000_000


def fisher_information(model: nn.Module, batches: Iterable[Columns]) -> Tensor:
    """Per weight [M, P], the mean over batches of the sum over classes y of p(y) * (gradient of cross-entropy with y)^2."""
    total, count = torch.zeros_like(flat(parameters(model))), 0
    for images, labels in batches:
        logits = model(images)
        shares = logits.detach().softmax(-1).mean(-2)
        for label in range(logits.shape[-1]):
            slope = flat(gradient(model, cross_entropy(logits, torch.full_like(labels, label)), again=True))
            total += shares[..., label].view(-1, 1) * slope.square()
        count += 1
    return total / count


@dataclass(frozen=True)
class Fisher(Method):
    """theta + sqrt(v) * normal noise, v = alpha / Fisher information on retain, up to a largest value.

    The information comes from random retain examples of each trial, in evaluation mode. Batches of 1 are its definition; with
    larger ones, as in public code with 32 to 64, the gradient is that of a batch's mean cross-entropy, a smaller quantity.

    Variances of weights are averaged over inputs, as in the public code. Those of the last layer, of biases and of normalisation
    count ten times. Public code takes any tensor with a row per class for the last layer; here it is the last linear layer.

    The definition needs a backward pass per example and class: all of retain is far beyond most budgets.

    Source: Golatkar et al. 2020, arXiv:1911.04933.
    """

    alpha: Annotated[Positive, Search(1e-8, 1e-4, log=True)] = 1e-6  # public code
    examples: Count = 60  # what fits a budget of 20 % of retraining; where there are fewer, all
    batch_size: Count = 1  # paper
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    budgeted: ClassVar[tuple[str, ...]] = ("examples",)
    needs: ClassVar[tuple[Layer, ...]] = ("linear",)
    cost: ClassVar[str] = "a backward pass for each class over examples of retain"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"alpha": 1e-6, "examples": ALL, "batch_size": 1},
        "salun": {"alpha": 0.2, "examples": ALL, "batch_size": 32},
    }
    paper: ClassVar[Paper] = replace(SPOTLESS, code="https://github.com/AdityaGolatkar/SelectiveForgetting")

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Measure, then shake."""
        model.eval()
        sample = data.retain.sample(min(self.examples, len(data.retain)))
        information = fisher_information(model, sample.batches(self.batch_size, shuffle=False))
        model.train()
        variances = self.variances(model, information)
        for name, view in parameters(model).items():
            view.add_(variances[name].sqrt() * trial.normal_like(view))
        return model

    def variances(self, model: nn.Module, information: Tensor) -> Views:
        """Those of the noise, by parameter; `information` is [M, P]."""
        last = {f"{last_linear(model)[0]}.{part}".lstrip(".") for part in ("weight", "bias")}
        views = unflatten(information, parameters(model))
        return {name: self._variance(view, last=name in last) for name, view in views.items()}

    def _variance(self, information: Tensor, *, last: bool) -> Tensor:
        inverse = self.alpha * (1 / (information + SMALL)).clamp(max=MOST_OF_LAST if last else MOST)
        vector = information.dim() == 2
        spread = inverse if vector else inverse.mean(2, keepdim=True).expand_as(inverse)
        return TIMES * spread if vector or last else spread


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register Fisher forgetting."""
    register(Fisher)
