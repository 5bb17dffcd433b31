"""Methods of 2024 to 2026 that steer by gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from bench_plugins.jit import Jit
from loops import Loop
from torch.optim import SGD

from bench import Method


def jit(loop: Loop) -> None:
    optimizer = SGD(loop.model.parameters(), 1e-3)
    for images, _, _ in loop.batches("forget", 6, 2.0):
        logits, loss = loop.model(images), 0.0
        for _ in range(3):
            copy = images + 0.3 * torch.randn(images.shape, generator=loop.own, dtype=torch.float64)
            copy = copy.clamp(float(images.min()), float(images.max()))
            answers = loop.model(copy).detach()
            for image, other, answer, moved in zip(images, copy, logits, answers, strict=True):
                loss = loss + ((answer - moved) ** 2).sum().sqrt() / ((image - other) ** 2).sum().sqrt() / 3
        loop.descend(optimizer, loss)


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "jit": (Jit(passes=2, copies=3, noise=0.3, learning_rate=1e-3, batch_size=6), jit),
}
