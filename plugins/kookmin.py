"""Kookmin: draw weights of convolutions with small gradients anew, then train on retain and let the others move slowly.

Source: the third of the challenge (Triantafillou et al. 2024, arXiv:2406.09073, section 5); settings from the port in
xcadet/deepunlearn (kgltop2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Layer, Paper, Positive, Search, Share
from bench.splits import MethodData, Split
from bench.trial import Trial
from bench.weights import Views, gradients, weights

from .finetune import CHALLENGE, FineTune
from .redrawing import least, redraw_biases
from .training import tent, train_on

GRADIENT_BATCH = 64  # public code


def difference(model: nn.Module, retain: Split, forget: Split) -> Views:
    """Gradients of cross-entropy on retain less those on forget, added over batches."""
    model.zero_grad()
    for split, sign in ((retain, 1), (forget, -1)):
        for images, labels in split.batches(GRADIENT_BATCH):
            (sign * cross_entropy(model(images), labels)).sum().backward()
    return gradients(model)


def slow_down(model: nn.Module, factors: Views) -> None:
    """Multiply gradients."""
    views = gradients(model)
    for name, each in factors.items():
        views[name].mul_(each)


@dataclass(frozen=True)
class Kookmin(FineTune):
    """Draw the weights of each convolution with the smallest gradients anew; train on retain, the kept ones at a tenth.

    The gradients are those of the loss on a random part of retain, as large as forget, less the loss on forget; in train
    mode. The tenth is of the gradient of the loss: weight decay acts on kept weights in full. Biases of convolutions, where
    there are any, are drawn anew whole, as torch initialises them, and not slowed down: the public code does so by accident,
    and it belongs to what was scored. So much is drawn anew that the repair takes dozens of steps: on a hundred images
    utility is lost. At a budget of 20 % of the embedded task's retraining, no setting that a quick search tried keeps
    utility.

    Source: Triantafillou et al. 2024, arXiv:2406.09073, section 5 (Kookmin).
    """

    share: Annotated[Share, Search(0.05, 0.9)] = 0.3  # public code; of each convolution's weights
    slowdown: Annotated[Share, Search(0.01, 1.0, log=True)] = 0.1  # public code; of the gradients of weights that are kept
    epochs: Annotated[Positive, Search(0.5, 5.0)] = 2.0  # what fits a budget of 20 % of retraining; published 5
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-2  # public code 1e-3, for ten times as many steps
    uses_forget: ClassVar[bool] = True
    fixed_share: ClassVar[float] = 0.01  # two passes over as many examples as forget has
    needs: ClassVar[tuple[Layer, ...]] = ("convolution",)
    cost: ClassVar[str] = "epochs over retain, two passes over as many examples as forget has"
    paper: ClassVar[Paper] = replace(CHALLENGE, code="https://github.com/xcadet/deepunlearn")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"share": 0.3, "slowdown": 0.1, "epochs": 5.0, "learning_rate": 1e-3}
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Draw anew, then repair."""
        slow = self.redraw(model, data, trial)
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        optimizer.register_step_pre_hook(lambda *_: slow_down(model, slow))
        rate = tent(self.learning_rate, self.epochs)
        train_on(model, data.retain, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate)
        return model

    def redraw(self, model: nn.Module, data: MethodData, trial: Trial) -> Views:
        """Draw anew, normal as is usual before ReLU; say by what gradients are multiplied from now on."""
        found = difference(model, data.retain.sample(len(data.forget)), data.forget)
        factors = {}
        for name, view in weights(model, (nn.Conv2d,)).items():
            mask = least(found[name], self.share)
            outgoing = view[0, :, 0].numel()  # He et al. 2015, arXiv:1502.01852
            view.copy_(torch.where(mask, math.sqrt(2 / outgoing) * trial.normal_like(view), view))
            factors[name] = torch.where(mask, torch.ones_like(view), self.slowdown)
        redraw_biases(model, factors, trial)
        return factors


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register Kookmin."""
    register(Kookmin)
