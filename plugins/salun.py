"""SalUn: random labels, learnt only by the weights that matter most for forget.

Source: Fan et al. 2024, arXiv:2310.12508; public code: OPTML-Group/Unlearn-Saliency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Paper, Positive, Search, Share
from bench.splits import MethodData, Split
from bench.trial import Trial
from bench.weights import Views, flat, frozen, gradients, unflatten

from .random_label import RandomLabel


def salient(model: nn.Module, forget: Split, share: float, batch_size: int) -> Views:
    """Per model, True on the share of all its parameters whose gradients on forget are largest; ties by position.

    Gradients of batches' mean cross-entropy are added up in evaluation mode, batches being in the split's order.
    """
    model.eval().zero_grad()
    for images, labels in forget.batches(batch_size, shuffle=False):
        cross_entropy(model(images), labels).sum().backward()
    sizes = flat(gradients(model)).abs()
    largest = sizes.argsort(dim=1, descending=True, stable=True)[:, : int(share * sizes.shape[1])]
    mask = torch.zeros_like(sizes, dtype=torch.bool).scatter_(1, largest, True)
    chosen = unflatten(mask, gradients(model))
    model.train().zero_grad()
    return chosen


@dataclass(frozen=True)
class SalUn(RandomLabel):
    """Random labels, with all but the salient weights as they were; running statistics of batch normalisation move.

    Weights are restored after every step, since momentum and weight decay move those without a gradient, too; the published code
    does so since 2025, and clears their momentum, which then comes to the same.

    Source: Fan et al. 2024, arXiv:2310.12508.
    """

    epochs: Annotated[Positive, Search(0.5, 2.0)] = 1.6  # quick search; public code has 10
    share: Annotated[Share, Search(0.1, 1.0)] = 0.55  # quick search, of all parameters; paper has .5
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 8.3e-3  # quick search; public code has 1.3e-2
    cost: ClassVar[str] = "epochs over forget and retain, and one pass over forget"
    paper: ClassVar[Paper] = Paper(
        title="SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency "
        "in Both Image Classification and Generation",
        authors="Fan, Chongyu and Liu, Jiancheng and Zhang, Yihua and others",
        venue="ICLR",
        year=2024,
        url="https://arxiv.org/abs/2310.12508",
        code="https://github.com/OPTML-Group/Unlearn-Saliency",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 10.0, "share": 0.5, "learning_rate": 1.3e-2, "batch_size": 256}
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Choose weights, and train these."""
        chosen = salient(model, data.forget, self.share, self.batch_size)
        optimizer = self.made_optimizer(model)
        frozen(optimizer, model, {name: ~mask for name, mask in chosen.items()})
        self.train(model, data, trial, optimizer)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register SalUn."""
    register(SalUn)
