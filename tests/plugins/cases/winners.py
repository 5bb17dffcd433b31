"""What won the challenge."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from bench_plugins.fanchuan import Fanchuan
from loops import Loop
from torch.nn import functional
from torch.optim import SGD

from bench import Method


def fanchuan(loop: Loop) -> None:
    parameters = list(loop.model.parameters())
    even, apart = SGD(parameters, 5e-3, momentum=0.9), SGD(parameters, 3e-4, momentum=0.9)
    repair = SGD(parameters, 4e-3, momentum=0.9, weight_decay=1e-2)
    for images, _, _ in loop.batches("forget", 6):
        logits = loop.model(images)
        uniform = torch.full_like(logits, 1 / logits.shape[1])
        loop.descend(even, functional.kl_div(logits.log_softmax(1), uniform, reduction="batchmean"))
    taken = 0
    for _ in range(2):
        for (images, _, _), (others, _, _) in zip(loop.batches("forget", 6), loop.batches("retain", 20), strict=True):
            forget, retain = loop.model(images), loop.model(others).detach()
            apart.param_groups[0]["lr"] = 1e-6 + (3e-4 - 1e-6) * (1 + math.cos(math.pi * taken / 6)) / 2
            likeness = torch.einsum("fk,rk->fr", forget, retain) / 1.15
            loop.descend(apart, (likeness.logsumexp(1, keepdim=True) - likeness).mean())
            taken += 1
        for images, labels, _ in loop.batches("retain", 20):
            loop.descend(repair, functional.cross_entropy(loop.model(images), labels))


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "fanchuan": (Fanchuan(rounds=2, forget_batch=6, retain_batch=20), fanchuan),
}
