"""What won the challenge."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from bench_plugins.amnesiacs import Amnesiacs
from bench_plugins.fanchuan import Fanchuan
from bench_plugins.forget import Forget
from bench_plugins.kookmin import Kookmin
from bench_plugins.random_mask import RandomMask
from bench_plugins.sebastian import Sebastian
from bench_plugins.seif import Seif
from bench_plugins.sun import Sun
from bench_plugins.toshi_marvel import ToshiMarvel
from loops import Loop
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune
from torch.optim import SGD

from bench import Method


def reset(loop: Loop, layer: nn.Module) -> None:
    """As torch's own `reset_parameters`, from the trial's generator."""
    inputs = layer.weight[0].numel()
    for tensor in layer.parameters():
        drawn = torch.rand(tensor.shape, generator=loop.own, dtype=torch.float64)
        tensor.data = -1 / math.sqrt(inputs) + 2 / math.sqrt(inputs) * drawn


def amnesiacs(loop: Loop) -> None:
    teacher = copy.deepcopy(loop.original).eval()
    reset(loop, loop.model.conv1)
    reset(loop, loop.model.fc)

    def divergence(images: Tensor, logits: Tensor) -> Tensor:
        target = (teacher(images) / 5).softmax(1).detach()
        return functional.kl_div((logits / 5).log_softmax(1), target, reduction="batchmean")

    optimizer = SGD(loop.model.parameters(), 9e-3, momentum=0.9, weight_decay=5e-4)
    for images, _, _ in loop.batches("validation", 20, 2.0):
        loop.descend(optimizer, divergence(images, loop.model(images)))
    optimizer = SGD(loop.model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)
    for _ in range(2):
        for images, labels, _ in loop.batches("retain", 20):
            logits = loop.model(images)
            soft = functional.cross_entropy(logits / 5, (teacher(images) / 5).softmax(1).detach())
            loop.descend(optimizer, functional.cross_entropy(logits, labels) + soft + divergence(images, logits))
        schedule.step()


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


def kookmin(loop: Loop) -> None:
    convolutions = [module for module in loop.model.modules() if isinstance(module, nn.Conv2d)]
    chosen = torch.randperm(48, generator=loop.orders["retain"])[:16]
    order = torch.randperm(16, generator=loop.orders["forget"])
    order_of_sample = torch.randperm(16, generator=loop.orders["retain"])
    chosen = chosen[order_of_sample]
    (images, labels), (forget, forget_labels) = loop.columns["retain"], loop.columns["forget"]
    functional.cross_entropy(loop.model(images[chosen]), labels[chosen]).backward()
    (-functional.cross_entropy(loop.model(forget[order]), forget_labels[order])).backward()
    kept = {}
    for layer in convolutions:
        count = round(0.3 * layer.weight.numel())
        drawn = torch.zeros(layer.weight.numel(), dtype=torch.bool)
        drawn[layer.weight.grad.abs().flatten().topk(count, largest=False).indices] = True
        kept[layer] = ~drawn.view_as(layer.weight)
        sizes = layer.weight.shape
        fresh = torch.randn(sizes, generator=loop.own, dtype=torch.float64) * (2 / (sizes[0] * sizes[2] * sizes[3])) ** 0.5
        with torch.no_grad():
            layer.weight[~kept[layer]] = fresh[~kept[layer]]
    optimizer = SGD(loop.model.parameters(), 1.0, momentum=0.9, weight_decay=5e-4)
    for factor in (0.5, 1.0, 0.5):
        optimizer.param_groups[0]["lr"] = 1e-2 * factor
        for images, labels, _ in loop.batches("retain", 20):
            optimizer.zero_grad()
            functional.cross_entropy(loop.model(images), labels).backward()
            for layer in convolutions:
                layer.weight.grad[kept[layer]] *= 0.1
            optimizer.step()


def seif(loop: Loop) -> None:
    def shake(amount: float) -> None:
        loop.model.conv1.weight.data += amount * torch.randn(16, 3, 5, 5, generator=loop.own, dtype=torch.float64)

    shake(0.6)
    counts = [(loop.columns["forget"][1] == label).sum() for label in range(4)]
    class_weights = torch.tensor([1.0 if label == counts.index(max(counts)) else 0.05 for label in range(4)], dtype=torch.float64)
    optimizer = SGD(loop.model.parameters(), 7e-3, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    for epoch in range(3):
        for images, labels, _ in loop.batches("retain", 20):
            loop.descend(optimizer, (functional.cross_entropy(loop.model(images), labels) * class_weights[labels]).mean())
        if epoch == 1:
            shake(0.02)
        schedule.step()


def sun(loop: Loop) -> None:
    reset(loop, loop.model.fc)
    normalised = {id(p) for module in loop.model.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()}
    others = [p for p in loop.model.parameters() if id(p) not in normalised]
    earlier: set[int] = set()
    for stage in range(9):
        allowed = list(loop.model.parameters())
        if stage < 5:
            order = torch.rand(11, generator=loop.own, dtype=torch.float64).argsort().tolist()
            chosen = order[:6]
            for index, tensor in enumerate(others if stage else ()):
                drawn = torch.randn(tensor.shape, generator=loop.own, dtype=torch.float64)
                if index in order[:4] and index not in earlier:
                    tensor.data += 0.04 * drawn
            earlier |= set(chosen)
            allowed = [p for p in allowed if id(p) in normalised | {id(others[index]) for index in chosen}]
        loop.model.requires_grad_(False)
        for tensor in allowed:
            tensor.requires_grad_(True)
        optimizer = SGD(allowed, 1e-2 if stage == 8 else 2e-3, momentum=0.9, weight_decay=5e-4)
        for images, labels, _ in loop.batches("retain", 20):
            loop.descend(optimizer, functional.cross_entropy(loop.model(images), labels))


def toshi_marvel(loop: Loop) -> None:
    for module in loop.model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.permute(0, 1, 3, 2).contiguous()
    loop.fine_tune(2.0, 1e-2, 20, per_epoch=True)


def random_mask(loop: Loop) -> None:
    for module in loop.model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            drawn = torch.rand(module.weight.shape, generator=loop.own, dtype=torch.float64)
            limit = drawn.flatten().sort().values[int(0.4 * drawn.numel())]
            module.weight.data *= drawn >= limit
    loop.fine_tune(2.0, 1e-2, 20, per_epoch=True)


def entropies(logits: Tensor) -> Tensor:
    return torch.distributions.Categorical(logits=logits).entropy()


def sebastian(loop: Loop) -> None:
    teacher = copy.deepcopy(loop.original).eval()
    loop.model.to(memory_format=torch.contiguous_format)  # torch's pruning cannot flatten anything else
    layers = [module for module in loop.model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    pruned = [(layer, part) for layer in layers for part in ("weight", "bias") if getattr(layer, part) is not None]
    prune.global_unstructured(pruned, prune.L1Unstructured, amount=0.9)
    for layer, part in pruned:
        prune.remove(layer, part)
    for layer in layers:
        bound = layer.weight[0].numel() ** -0.5
        drawn = bound * (2 * torch.rand(layer.weight.shape, generator=loop.own, dtype=torch.float64) - 1)
        layer.weight.data[layer.weight == 0] = drawn[layer.weight == 0]
    optimizer = SGD(loop.model.parameters(), 5e-3, momentum=0.9, weight_decay=5e-4)
    counts = loop.columns["retain"][1].bincount(minlength=4)
    class_weights = torch.tensor([count**-0.1 for count in counts.tolist()], dtype=torch.float64)
    for images, labels, _ in loop.batches("retain", 20, 5 / 3):  # int(1.5 * 3) + 1 steps
        logits = loop.model(images)
        apart = functional.mse_loss(entropies(logits), entropies(teacher(images)).detach())
        loop.descend(optimizer, functional.cross_entropy(logits, labels, class_weights) + apart)
    loop.model.half().double()


def forget(loop: Loop) -> None:
    teacher = copy.deepcopy(loop.original).eval()
    blocks = [loop.model.layer1, loop.model.layer2, loop.model.layer3]
    candidates = [loop.model.conv1, *(layer for block in blocks for layer in (block.conv1, block.conv2))]
    for cycle, epochs in enumerate((1, 2, 2)):
        chosen = torch.randint(7, (3 + cycle,), generator=loop.own).tolist()
        for index, layer in enumerate(candidates):
            kept = layer.weight.data.clone()
            reset(loop, layer)
            layer.weight.data = layer.weight.data if index in chosen else kept
        optimizer = SGD(loop.model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
        for epoch in range(epochs):
            optimizer.param_groups[0]["lr"] = (1e-2, 5e-3)[epoch]
            for images, _, _ in loop.batches("retain", 20):
                noise = torch.randn(images.shape, generator=loop.own, dtype=torch.float64)
                loop.descend(optimizer, functional.mse_loss(loop.model(images + 0.1 * noise), teacher(images).detach()))


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "amnesiacs": (Amnesiacs(warm_up_epochs=2.0, epochs=2.0, batch_size=20), amnesiacs),
    "fanchuan": (Fanchuan(rounds=2, forget_batch=6, retain_batch=20), fanchuan),
    "kookmin": (Kookmin(epochs=3.0, learning_rate=1e-2, batch_size=20), kookmin),
    "seif": (Seif(noise=0.6, epochs=3.0, late_noise=0.02, learning_rate=7e-3, other_weight=0.05, batch_size=20), seif),
    "sun": (Sun(stage=1.0, chosen=0.55, batch_size=20), sun),
    "toshi-marvel": (ToshiMarvel(epochs=2.0, batch_size=20), toshi_marvel),
    "random-mask": (RandomMask(share=0.4, epochs=2.0, batch_size=20), random_mask),
    "sebastian": (Sebastian(share=0.9, epochs=1.5, batch_size=20), sebastian),
    "forget": (Forget(cycles="three", layers=3, more_layers=1, pace=1.0, batch_size=20), forget),
}
