"""Methods of 2024 to 2026."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import count, islice

import pytest
import torch
from bench_plugins.lotus import Lotus
from bench_plugins.negmerge import NegMerge
from bench_plugins.noisy_ft import NoisyFineTune
from bench_plugins.output_perturbation import OutputPerturbation
from bench_plugins.sfr_on import SfrOn
from loops import Loop
from torch import Tensor
from torch.nn import functional
from torch.optim import SGD

from bench import Method


def _shrink(loop: Loop, radius: float) -> None:
    with torch.no_grad():
        norm = torch.cat([parameter.flatten() for parameter in loop.model.parameters()]).norm()
        for parameter in loop.model.parameters():
            parameter.mul_(min(1.0, radius / float(norm)))


def noisy_ft(loop: Loop) -> None:
    method = CASES["noisy-ft"][0]
    loop.model.eval()
    _shrink(loop, 2.0)
    kept = 1 - 0.05 * 0.5  # a step keeps that of the weights; the published formula for shrinkage above 0
    reach = 2 * 2.0 * kept**3 + 2 * 0.4 / 0.5 * (1 - kept**3)
    sigma = math.sqrt(reach**2 * 0.05 * 0.5 * (2 - 0.05 * 0.5) / (2 * 1e4 * (1 - kept**6)))
    for images, labels, _ in islice(loop.batches("retain", 20, 9.0), 3):
        loop.model.zero_grad()
        functional.cross_entropy(loop.model(images), labels).backward()
        torch.nn.utils.clip_grad_norm_(loop.model.parameters(), 0.4)
        with torch.no_grad():
            for parameter in loop.model.parameters():
                noise = torch.randn(parameter.shape, generator=loop.own, dtype=torch.float64)
                parameter.add_(sigma * noise - 0.05 * (parameter.grad + 0.5 * parameter))
    assert method.sigma == pytest.approx(sigma)
    _shrink(loop, 2.0)
    loop.fine_tune(1.5, 1e-2, 20, per_epoch=True)
    loop.model.train()


def output_perturbation(loop: Loop) -> None:
    loop.model.eval()
    _shrink(loop, 2.0)
    with torch.no_grad():
        for parameter in loop.model.parameters():
            noise = torch.randn(parameter.shape, generator=loop.own, dtype=torch.float64)
            parameter.add_(math.sqrt(2 * math.log(1.25 / 1e-3)) * 4.0 / 1e4 * noise)
    _shrink(loop, 2.0)
    loop.fine_tune(1.5, 1e-2, 20, per_epoch=True)
    loop.model.train()


def _importance(loop: Loop, split: str, size: int) -> list[Tensor]:
    """Of every parameter, in evaluation mode."""
    loop.model.eval()
    squares = [torch.zeros_like(parameter) for parameter in loop.model.parameters()]
    batches = list(loop.batches(split, size))
    for images, labels, _ in batches:
        loop.model.zero_grad()
        functional.cross_entropy(loop.model(images), labels).backward()
        for total, parameter in zip(squares, loop.model.parameters(), strict=True):
            total.add_(parameter.grad**2)
    loop.model.train()
    return [total / len(batches) for total in squares]


def _ascend(loop: Loop, optimizer: SGD, images: Tensor, labels: Tensor, strength: float, masks: list[Tensor]) -> None:
    optimizer.zero_grad()
    losses = functional.cross_entropy(loop.model(images), labels, reduction="none")
    share = 1 / (losses.detach() ** 0.5 + 1e-15)
    (-strength * (share / share.sum() * losses).sum()).backward()
    for parameter, mask in zip(loop.model.parameters(), masks, strict=True):
        parameter.grad *= mask
    torch.nn.utils.clip_grad_norm_(loop.model.parameters(), 0.5)
    optimizer.step()


def sfr_on(loop: Loop) -> None:
    forget, retain = _importance(loop, "forget", 6), _importance(loop, "retain", 6)
    masks = [(f + 1e-15) / (r + 1e-15) >= 2.0 for f, r in zip(forget, retain, strict=True)]
    optimizer = SGD(loop.model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    keep = (batch for _ in count() for batch in loop.batches("retain", 20))
    lose = (batch for _ in count() for batch in loop.batches("forget", 6))
    for taken in range(7):
        if taken % 3 == 0:
            images, labels, _ = next(lose)
            _ascend(loop, optimizer, images, labels, 2.0 * (1 + math.cos(math.pi * taken / 7)) / 2, masks)
        images, labels, _ = next(keep)
        optimizer.zero_grad()
        functional.cross_entropy(loop.model(images), labels).backward()
        optimizer.step()
        schedule.step()


def negmerge(loop: Loop) -> None:
    origin = copy.deepcopy(loop.model.state_dict())
    names = [name for name, _ in loop.model.named_parameters()]
    moves = []
    for rate in (3e-3, 1e-2):
        loop.model.load_state_dict(origin)
        optimizer = SGD(loop.model.parameters(), rate, momentum=0.9)
        for images, labels, _ in loop.batches("forget", 6, 2.0):
            optimizer.zero_grad()
            functional.cross_entropy(loop.model(images), labels).backward()
            optimizer.step()
        moves.append({name: loop.model.state_dict()[name] - origin[name] for name in names})
    best, most = None, -1.0
    loop.model.load_state_dict(origin)
    reference = loop.error("validation")
    for scale in (1.0, 3.0, 30.0):
        point = copy.deepcopy(origin)
        for name in names:
            first, second = (move[name] for move in moves)
            point[name] -= scale * torch.where(first * second > 0, (first + second) / 2, torch.zeros_like(first))
        loop.model.load_state_dict(point)
        if loop.error("validation") <= reference + 0.2 and loop.error("forget") > most:
            best, most = point, loop.error("forget")
    loop.model.load_state_dict(best)


def lotus(loop: Loop) -> None:
    (retain, _), (forget, _) = loop.columns["retain"], loop.columns["forget"]
    teacher = copy.deepcopy(loop.original).eval()
    optimizer = torch.optim.AdamW(loop.model.parameters(), 1e-2, weight_decay=5e-4)
    usual = 1 - loop.error("validation")
    sample = torch.randperm(len(retain), generator=loop.orders["retain"])[:24]
    for _ in range(3):
        known = 1 - loop.error("forget") - usual
        if known <= -0.01:
            break
        images = torch.cat([retain[sample], forget])
        for rows in torch.randperm(len(images), generator=loop.orders["retain"]).split(10):
            with torch.no_grad():
                logits = teacher(images[rows])
            gumbel = -torch.log(-torch.log(torch.rand(logits.shape, generator=loop.own, dtype=torch.float64)))
            soft = ((logits + gumbel) / math.exp(2.0 * known)).softmax(1)
            hard = functional.one_hot((logits + gumbel).argmax(1), logits.shape[1]).double()
            target = torch.where((rows < 24)[:, None], hard, soft)
            optimizer.zero_grad()
            functional.cross_entropy(loop.model(images[rows]), target).backward()
            optimizer.step()


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "lotus": (Lotus(epochs=3, learning_rate=1e-2, alpha=2.0, retain_share=0.5, batch_size=10), lotus),
    "negmerge": (
        NegMerge(learning_rates=(3e-3, 1e-2), epochs=2.0, scales=(1.0, 3.0, 30.0), tolerance=0.2, batch_size=6),
        negmerge,
    ),
    "noisy-ft": (
        NoisyFineTune(epsilon=1e4, radius=2.0, max_norm=0.4, rate=0.05, shrinkage=0.5, steps=3, epochs=1.5, batch_size=20),
        noisy_ft,
    ),
    "output-perturbation": (
        OutputPerturbation(epsilon=1e4, delta=1e-3, radius=2.0, epochs=1.5, batch_size=20),
        output_perturbation,
    ),
    "sfr-on": (
        SfrOn(steps=7, every=3, strength=2.0, max_norm=0.5, threshold=2.0, learning_rate=1e-2, retain_batch=20, forget_batch=6),
        sfr_on,
    ),
}
