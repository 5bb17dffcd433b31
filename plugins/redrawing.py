"""What methods draw weights anew with: layers as torch initialises them, and a choice of the smallest entries."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from bench.trial import Trial
from bench.weights import parameters, smallest, weights


def initial(view: Tensor, inputs: int, trial: Trial) -> Tensor:
    """New weights or biases of a layer with so many inputs, as torch initialises it."""
    return (2 * trial.uniform_like(view) - 1) / math.sqrt(inputs)


def reset(model: nn.Module, layers: list[str], trial: Trial) -> None:
    """Draw weights and biases of layers anew, but for frozen ones; layers are given by name."""
    views = parameters(model)
    for layer in layers:
        inputs = model.get_submodule(layer).get_parameter("weight")[0].numel()
        for part in (f"{layer}.weight", f"{layer}.bias"):
            if part in views:
                views[part].copy_(initial(views[part], inputs, trial))


def redraw_biases(model: nn.Module, layers: Iterable[str], trial: Trial) -> None:
    """Draw biases of layers anew, as torch initialises them; layers are given by the names of their weights."""
    views = parameters(model)
    for name in layers:
        if (bias := name.removesuffix("weight") + "bias") in views:
            views[bias].copy_(initial(views[bias], views[name][0, 0].numel(), trial))


def redrawable(model: nn.Module) -> list[Tensor]:
    """Weights of convolutions larger than one pixel: those of one pixel are projections on shortcuts."""
    views = [view for view in weights(model, (nn.Conv2d,)).values() if view[0, 0, 0].numel() > 1]
    if not views:
        raise ValueError("all convolutions of the network see single pixels or are frozen, so none of them is drawn anew")
    return views


def redraw_some(views: list[Tensor], count: int, trial: Trial) -> None:
    """Draw `count` of the layers, chosen for each model with replacement, anew as torch initialises them."""
    picks = trial.integers(len(views), count).view(-1, count)
    for index, view in enumerate(views):
        new = initial(view, view[0, 0].numel(), trial)
        view.copy_(torch.where((picks == index).any(1).view(-1, 1, 1, 1, 1), new, view))


def least(values: Tensor, share: float) -> Tensor:
    """Per model, True on a share of the entries that are nearest to zero, rounded to the next whole number of them."""
    entries = values[0].numel()
    return smallest(values.abs(), (round(share * entries) + 0.5) / entries)  # halfway to the next: safe from rounding errors
