"""Methods that edit weights in one go, and those that train on forget towards other answers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from bench_plugins.ssd import Ssd
from loops import Loop
from torch import Tensor
from torch.nn import functional

from bench import Method


def importance(loop: Loop, images: Tensor, labels: Tensor, order: Tensor) -> list[Tensor]:
    """Mean of squared gradients of batches of 20."""
    parts = order.split(20)
    totals = [torch.zeros_like(parameter) for parameter in loop.model.parameters()]
    for rows in parts:
        loop.model.zero_grad()
        functional.cross_entropy(loop.model(images[rows]), labels[rows]).backward()
        for total, parameter in zip(totals, loop.model.parameters(), strict=True):
            total.add_(parameter.grad**2, alpha=1 / len(parts))
    return totals


def ssd(loop: Loop) -> None:
    (images, labels), (forget_images, forget_labels) = loop.columns["retain"], loop.columns["forget"]
    everything = torch.cat([images, forget_images]), torch.cat([labels, forget_labels])
    loop.model.eval()
    overall = importance(loop, *everything, torch.randperm(len(everything[1]), generator=loop.orders["retain"]))
    forget = importance(loop, forget_images, forget_labels, torch.randperm(len(forget_labels), generator=loop.orders["forget"]))
    loop.model.train()
    with torch.no_grad():
        for parameter, all_of_it, of_forget in zip(loop.model.parameters(), overall, forget, strict=True):
            chosen = of_forget > 3.0 * all_of_it
            parameter[chosen] *= (0.5 * all_of_it[chosen] / of_forget[chosen]).clamp(max=1)


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "ssd": (Ssd(alpha=3.0, dampening=0.5, batch_size=20), ssd),
}
