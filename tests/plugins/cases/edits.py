"""Methods that edit weights in one go, and those that train on forget towards other answers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from bench_plugins.boundary_expand import BoundaryExpand
from bench_plugins.boundary_shrink import BoundaryShrink
from bench_plugins.delete import Delete
from bench_plugins.fisher import Fisher
from bench_plugins.influence import Influence
from bench_plugins.ssd import Ssd
from bench_plugins.unsir import Unsir
from loops import Loop
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

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


def delete(loop: Loop) -> None:
    teacher = copy.deepcopy(loop.original).eval()
    optimizer = SGD(loop.model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
    for images, labels, _ in loop.batches("forget", 6, 2.0):
        with torch.no_grad():
            others = teacher(images).softmax(1) * (1 - functional.one_hot(labels, 4))
        optimizer.zero_grad()
        student = loop.model(images).log_softmax(1)
        functional.kl_div(student, others / others.sum(1, keepdim=True), reduction="batchmean").backward()
        optimizer.step()


def fisher(loop: Loop) -> None:
    images, labels = loop.columns["retain"]
    chosen = torch.randperm(len(labels), generator=loop.orders["retain"])[:7]
    loop.model.eval()
    information = [torch.zeros_like(parameter) for parameter in loop.model.parameters()]
    batches = chosen.split(3)
    for rows in batches:
        shares = loop.model(images[rows]).softmax(1).mean(0)
        for label, share in enumerate(shares.tolist()):
            loop.model.zero_grad()
            functional.cross_entropy(loop.model(images[rows]), torch.full((len(rows),), label)).backward()
            for total, parameter in zip(information, loop.model.parameters(), strict=True):
                total.add_(parameter.grad**2, alpha=share / len(batches))
    loop.model.train()
    for (name, parameter), found in zip(loop.model.named_parameters(), information, strict=True):
        last = name.startswith("fc.")
        variance = torch.clamp(1 / (found + 1e-8), max=100 if last else 1000) * 1e-5
        if parameter.dim() > 1:
            variance = variance.mean(1, keepdim=True).expand(parameter.shape)
        if last or parameter.dim() == 1:
            variance = variance * 10
        noise = torch.randn(parameter.shape, generator=loop.own, dtype=torch.float64)
        parameter.data += variance.sqrt() * noise


def train_on_forget(loop: Loop, labels: Tensor) -> None:
    optimizer = SGD(loop.model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
    for images, _, rows in loop.batches("forget", 6, 2.0):
        optimizer.zero_grad()
        functional.cross_entropy(loop.model(images), labels[rows]).backward()
        optimizer.step()


def boundary_shrink(loop: Loop) -> None:
    teacher = copy.deepcopy(loop.original).eval()
    images, labels = loop.columns["forget"]
    images = images.clone().requires_grad_()
    functional.cross_entropy(teacher(images), labels).backward()
    moved = torch.clamp(images.detach() + 0.05 * images.grad.sign(), 0, 1)
    train_on_forget(loop, teacher(torch.round(moved * 255) / 255).argmax(1))


def boundary_expand(loop: Loop) -> None:
    old, loop.model.fc = loop.model.fc, nn.Linear(64, 5).double()
    with torch.no_grad():
        weight, bias = (torch.rand(shape, generator=loop.own, dtype=torch.float64) / 4 - 1 / 8 for shape in ((1, 64), (1,)))
        loop.model.fc.weight.copy_(torch.cat([old.weight, weight]))
        loop.model.fc.bias.copy_(torch.cat([old.bias, bias]))
        train_on_forget_as_the_fifth(loop)
        old.weight.copy_(loop.model.fc.weight[:4])
        old.bias.copy_(loop.model.fc.bias[:4])
    loop.model.fc = old


@torch.enable_grad()
def train_on_forget_as_the_fifth(loop: Loop) -> None:
    train_on_forget(loop, torch.full((16,), 4))


def influence(loop: Loop) -> None:
    def slope(images: Tensor, labels: Tensor) -> Tensor:
        loop.model.zero_grad()
        functional.cross_entropy(loop.model(images), labels).backward()
        return torch.cat([parameter.grad.flatten() for parameter in loop.model.parameters()])

    loop.model.eval()
    images, labels = loop.columns["retain"]
    done = 0.25 * (slope(*loop.columns["forget"]) - slope(images, labels))
    rows = torch.randperm(48, generator=loop.orders["retain"])[:12]
    kept, *rest = (slope(images[row, None], labels[row, None]) for row in rows)
    for own in rest:
        product = kept @ own
        done = done - (done @ own) / (10 + product) * kept
        kept = kept - product / (10 + product) * kept
    parameters = list(loop.model.parameters())
    for parameter, part in zip(parameters, done.split([parameter.numel() for parameter in parameters]), strict=True):
        parameter.data += 2 * part.view(parameter.shape)
    loop.model.train()


def unsir(loop: Loop) -> None:
    loop.model.eval()
    optimizer = SGD(loop.model.parameters(), 1e-3)
    for _ in range(2):
        for (images, labels, _), (forget_images, _, _) in zip(loop.batches("retain", 6), loop.batches("forget", 6), strict=False):
            if len(forget_images) == 6:
                noise = unsir_noise(loop, forget_images)
                optimizer.zero_grad()
                functional.cross_entropy(loop.model(noise), labels).backward()
                functional.cross_entropy(loop.model(images), labels).backward()
                optimizer.step()
    for images, labels, _ in loop.batches("retain", 6, 0.5):
        optimizer.zero_grad()
        functional.cross_entropy(loop.model(images), labels).backward()
        optimizer.step()
    loop.model.train()


def unsir_noise(loop: Loop, images: Tensor) -> Tensor:
    noise = nn.Parameter(torch.randn(images.shape, generator=loop.own, dtype=torch.float64))
    adam = Adam([noise], lr=0.05)
    for _ in range(3):
        adam.zero_grad()
        (-functional.mse_loss(loop.model(noise), loop.model(images).detach())).backward()
        adam.step()
    return noise.detach().clamp(0, 1)


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "ssd": (Ssd(alpha=3.0, dampening=0.5, batch_size=20), ssd),
    "fisher": (Fisher(alpha=1e-5, examples=7, batch_size=3), fisher),
    "boundary-shrink": (BoundaryShrink(epochs=2.0, learning_rate=1e-2, batch_size=6, distance=0.05), boundary_shrink),
    "boundary-expand": (BoundaryExpand(epochs=2.0, learning_rate=1e-2, batch_size=6), boundary_expand),
    "influence": (Influence(alpha=2.0, examples=10), influence),
    "unsir": (
        Unsir(impair_epochs=2, repair_epochs=0.5, learning_rate=1e-3, batch_size=6, noise_steps=3, noise_rate=0.05),
        unsir,
    ),
    "delete": (Delete(epochs=2.0, learning_rate=1e-2, batch_size=6), delete),
}
