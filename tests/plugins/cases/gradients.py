"""Methods of 2024 to 2026 that steer by gradients, and one that is made of others."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from itertools import count

import torch
from bench_plugins.amun import Amun
from bench_plugins.cup import Cup
from bench_plugins.jit import Jit
from bench_plugins.rum import Rum
from bench_plugins.uam import Uam
from loops import Loop
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from bench import Method
from cases.classical import salun


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


def _norm(tensors: list[Tensor]) -> Tensor:
    return sum((tensor**2).sum() for tensor in tensors).sqrt()


def _along(some: list[Tensor], others: list[Tensor]) -> Tensor:
    """The inner product."""
    return sum((one * other).sum() for one, other in zip(some, others, strict=True))


def _gradient(loop: Loop, images: Tensor, labels: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(functional.cross_entropy(loop.model(images), labels), list(loop.model.parameters())))


def _pairs(loop: Loop, optimizer: SGD) -> Iterator[tuple[list[Tensor], tuple[Tensor, Tensor], int]]:
    """The gradient on forget, a batch of retain, and the number of the step, which follows: the caller sets `grad`."""
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)
    lose = (batch for _ in count() for batch in loop.batches("forget", 6))
    for taken, (images, labels, _) in enumerate(loop.batches("retain", 20, 2.0), start=1):
        forget_images, forget_labels, _ = next(lose)
        yield _gradient(loop, forget_images, forget_labels), (images, labels), taken - 1
        optimizer.step()
        if taken % 3 == 0:
            schedule.step()


def uam(loop: Loop) -> None:
    own = list(loop.model.parameters())
    optimizer = SGD(own, 1e-2, momentum=0.9, weight_decay=5e-4)
    for upwards, (images, labels), taken in _pairs(loop, optimizer):
        here, rho = [parameter.detach().clone() for parameter in own], 0.5 * (1 + math.cos(math.pi * taken / 6)) / 2
        for parameter, slope in zip(own, upwards, strict=True):
            parameter.data += rho * slope / _norm(upwards)
        for parameter, slope, before in zip(own, _gradient(loop, images, labels), here, strict=True):
            parameter.data, parameter.grad = before, slope


def cup(loop: Loop) -> None:
    """The direction at that angle in the plane of both gradients, by an orthonormal basis of it."""
    own = list(loop.model.parameters())
    optimizer = SGD(own, 1e-2, momentum=0.9, weight_decay=5e-4)
    for upwards, (images, labels), _ in _pairs(loop, optimizer):
        first, second = [-slope for slope in upwards], _gradient(loop, images, labels)
        cosine = _along(first, second) / _norm(first) / _norm(second)
        other = [two - cosine * _norm(second) / _norm(first) * one for one, two in zip(first, second, strict=True)]
        turn = 0.4 * (
            math.pi - math.acos(float(cosine))
        )  # what is left of both is as far apart as they are from each other's opposite
        length = _norm([(one + two) / 2 for one, two in zip(first, second, strict=True)])
        for parameter, one, two in zip(own, first, other, strict=True):
            parameter.grad = length * (math.sin(turn) * one / _norm(first) + math.cos(turn) * two / _norm(other))


def _adversarial(model: nn.Module, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Of one image, with balls of .3, .6 and so on, and four steps in each."""
    found = image.clone()
    for step in range(4 * 10):
        reach = 0.3 * 2 ** (step // 4)
        found.requires_grad_()
        logits = model(found[None])
        if logits.argmax() != label:
            break
        (slope,) = torch.autograd.grad(functional.cross_entropy(logits, label[None]), found)
        moved = found.detach() + 0.2 * reach * slope / slope.norm() - image
        found = (image + moved / max(1.0, float(moved.norm()) / reach)).clamp(0, 1)
    return found.detach(), logits.argmax()


def amun(loop: Loop) -> None:
    teacher = copy.deepcopy(loop.original).eval()
    (retain, labels), forget = loop.columns["retain"], loop.columns["forget"]
    pairs = [_adversarial(teacher, image, label) for image, label in zip(*forget, strict=True)]
    images, labels = (
        torch.cat([retain, *(image[None] for image, _ in pairs)]),
        torch.cat([labels, *(own[None] for _, own in pairs)]),
    )
    loop.columns = {**loop.columns, "retain": (images, labels)}
    loop.fine_tune(1.5, 1e-2, 20, per_epoch=True)


def rum(loop: Loop) -> None:
    """SalUn begins with what fine-tuning left, of which it has its own copy of frozen weights."""
    images, labels = loop.columns["forget"]
    with torch.no_grad():
        answers = copy.deepcopy(loop.original).eval()(images).softmax(1)
    unsure = answers[torch.arange(len(labels)), labels].argsort()[:6]  # of 16: thirds of 6, 5 and 5
    loop.fine_tune(1.0, 1e-2, 6, per_epoch=True)
    loop.model.zero_grad()
    loop.original = copy.deepcopy(loop.model)
    loop.columns = {**loop.columns, "forget": (images[unsure], labels[unsure])}
    salun(loop)


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "amun": (Amun(epochs=1.5, learning_rate=1e-2, batch_size=20, radius=0.3, search_steps=4, stride=0.2), amun),
    "cup": (Cup(epochs=2.0, learning_rate=1e-2, batch_size=20, forget_batch=6, gamma=0.4), cup),
    "jit": (Jit(passes=2, copies=3, noise=0.3, learning_rate=1e-3, batch_size=6), jit),
    "rum": (Rum(finetune_epochs=1.0, finetune_rate=1e-2, salun_epochs=1.5, salun_rate=1e-2, share=0.3, batch_size=6), rum),
    "uam": (Uam(epochs=2.0, learning_rate=1e-2, batch_size=20, forget_batch=6, rho=0.5), uam),
}
