"""UNSIR for whole classes, as first published: noise that a model is far from taking for a class is learnt as that class.

Source: Tarun et al. 2023, arXiv:2111.08947; public code: vikram2000b/Fast-Machine-Unlearning.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Adam

from bench.losses import cross_entropies
from bench.splits import MethodData, Split
from bench.trial import Trial

from .training import constant, train_on

PENALTY = 0.1  # public code; of the squared length of an image of noise
REPEATS = 20  # public code: how often each of them is in an epoch
PER_CLASS = 1000  # public code: images of each class of retain beside them, the first ones
CLASS_WISE = {  # public code
    "class_wise": True,
    "impair_epochs": 1,
    "repair_epochs": 1.0,
    "learning_rate": 0.02,
    "batch_size": 256,
    "noise_steps": 40,
    "noise_rate": 0.1,
}


def whole_classes(data: MethodData) -> Tensor:
    """The classes of forget.

    Raises:
        ValueError: retain has examples of them.
    """
    classes: Tensor = data.forget.labels.unique()
    if torch.isin(data.retain.labels, classes).any():
        raise ValueError("class_wise is for a forget set of whole classes, and retain has examples of these")
    return classes


def far_from(model: nn.Module, noise: Tensor, labels: Tensor, steps: int, rate: float) -> Tensor:
    """Images of noise, moved to where a model is far from giving their labels [..., n], but not far from zero."""
    noise = noise.clone().requires_grad_()
    optimizer = Adam([noise], rate)
    for _ in range(steps):
        size = noise.flatten(labels.dim()).square().sum(-1)
        loss = PENALTY * size - cross_entropies(model(noise), labels)
        (noise.grad,) = torch.autograd.grad(loss.mean(-1).sum(), noise)
        optimizer.step()
    return noise.detach()


def as_classes(model: nn.Module, data: MethodData, trial: Trial, count: int, steps: int, rate: float) -> Split:
    """So many images of noise for each class of forget, with its label, each of them as often as it is learnt in an epoch."""
    found, labels = [], whole_classes(data).repeat_interleave(count)
    start = data.forget.at(torch.zeros(len(labels), dtype=torch.long, device=labels.device))
    own = labels.expand(*trial.lead, -1)
    for part in torch.arange(len(labels), device=labels.device).split(count):
        images = start.at(part).images
        noise = trial.normal_like(images if trial.stacked else images[None]).view_as(images)
        found.append(far_from(model, noise, own[..., part], steps, rate))
    shown = start.labelled(own).showing(torch.cat(found, len(trial.lead)))
    return shown.at(torch.arange(len(labels), device=labels.device).repeat(REPEATS))


def of_each_class(retain: Split) -> Split:
    """The first images of each class."""
    classes = retain.labels.unique()
    return retain.at(torch.cat([(retain.labels == label).nonzero().flatten()[:PER_CLASS] for label in classes]))


def learn_in(phases: Iterable[tuple[Split, float, float]], model: nn.Module, batch_size: int) -> nn.Module:
    """Train on splits one after the other, each for its epochs, at its rate, with Adam that begins anew."""
    model.train()
    for split, epochs, rate in phases:
        train_on(model, split, epochs=epochs, batch_size=batch_size, optimizer=Adam(model.parameters()), rate=constant(rate))
    return model
