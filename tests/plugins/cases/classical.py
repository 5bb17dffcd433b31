"""Classical baselines: parts of the network, wrong labels, sparsity, other teachers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, count

import torch
from bench_plugins.advanced_neggrad import AdvancedNegGrad
from bench_plugins.bad_teacher import BadTeacher
from bench_plugins.cf_k import CfK
from bench_plugins.eu_k import EuK
from bench_plugins.l1_sparse import L1Sparse
from bench_plugins.random_label import RandomLabel
from bench_plugins.salun import SalUn
from loops import Loop
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adam

from bench import Method
from bench.models.build import initialised
from bench.seeds import purpose_seed


def last_blocks(loop: Loop, parts: list[nn.Module], rates: list[float], penalty: float) -> None:
    optimizer = SGD([parameter for part in parts for parameter in part.parameters()], rates[0])
    start = [[parameter.detach().clone() for parameter in group["params"]] for group in optimizer.param_groups]
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        for images, labels, _ in loop.batches("retain", 20):
            optimizer.zero_grad()
            functional.cross_entropy(loop.model(images), labels).backward()
            for parameter, then in zip(optimizer.param_groups[0]["params"], start[0], strict=True):
                parameter.grad += penalty * (parameter.detach() - then)
            optimizer.step()
    loop.model.train()


def cf_k(loop: Loop) -> None:
    net = loop.model.eval()
    last_blocks(loop, [net.layer2, net.layer3, net.fc], [3e-2] * 2, 0.5)


def eu_k(loop: Loop) -> None:
    net, fresh = loop.model.eval(), initialised("resnet8-v1", 4, purpose_seed(loop.seed, "fresh model"))
    for name in ("layer3", "fc"):
        getattr(net, name).load_state_dict(getattr(fresh, name).state_dict())
        getattr(net, name).train()
    last_blocks(loop, [net.layer3, net.fc], [5e-2, 5e-2, 2.5e-2], 0.1)


def l1_sparse(loop: Loop) -> None:
    optimizer = SGD(loop.model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
    for penalty in (2e-3, 1e-3, 0.0):
        for images, labels, _ in loop.batches("retain", 20):
            optimizer.zero_grad()
            size = sum(parameter.abs().sum() for parameter in loop.model.parameters())
            (functional.cross_entropy(loop.model(images), labels) + penalty * size).backward()
            optimizer.step()


def randomly_labelled(loop: Loop) -> Iterator[SGD]:
    """A step after the other; the caller may edit between them."""
    optimizer = SGD(loop.model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
    for epoch in range(2):
        passes = 1.0 - 0.5 * epoch
        for split in ("forget", "retain"):
            for images, labels, _ in loop.batches(split, 6, passes):
                drawn = torch.randint(4, labels.shape, generator=loop.own) if split == "forget" else labels
                optimizer.zero_grad()
                functional.cross_entropy(loop.model(images), drawn).backward()
                optimizer.step()
                yield optimizer


def random_label(loop: Loop) -> None:
    for _ in randomly_labelled(loop):
        pass


def salun(loop: Loop) -> None:
    loop.model.eval()
    images, labels = loop.columns["forget"]
    for rows in torch.arange(len(labels)).split(6):
        functional.cross_entropy(loop.model(images[rows]), labels[rows]).backward()
    sizes = torch.cat([parameter.grad.abs().flatten() for parameter in loop.model.parameters()])
    ranks = (-sizes).argsort(stable=True).argsort(stable=True)
    kept = (ranks < int(0.3 * len(sizes))).split([parameter.numel() for parameter in loop.model.parameters()])
    loop.model.train()
    for optimizer in randomly_labelled(loop):
        pairs = zip(loop.model.parameters(), loop.original.parameters(), kept, strict=True)
        for parameter, original, mask in pairs:
            parameter.data = torch.where(mask.view(parameter.shape), parameter.data, original.data)
            optimizer.state[parameter]["momentum_buffer"] *= mask.view(parameter.shape)


def advanced_neggrad(loop: Loop) -> None:
    loop.model.eval()
    optimizer = SGD(loop.model.parameters(), 2e-2)
    forget = chain.from_iterable(loop.batches("forget", 5) for _ in count())
    for (images, labels, _), (forget_images, forget_labels, _) in zip(loop.batches("retain", 5, 1.5), forget, strict=False):
        if len(labels) != len(forget_labels):
            continue
        optimizer.zero_grad()
        functional.cross_entropy(loop.model(images), labels).backward()
        (-functional.cross_entropy(loop.model(forget_images), forget_labels)).backward()
        optimizer.step()
    loop.model.train()


def bad_teacher(loop: Loop) -> None:
    """Rows of retain are drawn with the generator of its shuffles, which then shuffles all of them together."""
    order = loop.orders["retain"]
    fresh = initialised("resnet8-v1", 4, purpose_seed(loop.seed, "fresh model")).double().eval()
    retain, forget = loop.columns["retain"][0], loop.columns["forget"][0]
    kept = torch.randperm(len(retain), generator=order)[: int(0.4 * len(retain))]
    with torch.no_grad():
        logits = torch.cat([loop.original.eval()(retain[kept]), fresh(forget)])
    loop.original.train()
    images, targets = torch.cat([retain[kept], forget]), (logits / 2).softmax(1)
    optimizer = Adam(loop.model.parameters(), 1e-3, weight_decay=1e-2)
    for _ in range(2):
        for rows in torch.randperm(len(images), generator=order).split(10):
            optimizer.zero_grad()
            student = (loop.model(images[rows]) / 2).log_softmax(1)
            (4 * functional.kl_div(student, targets[rows], reduction="batchmean")).backward()
            optimizer.step()


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "cf-k": (CfK(k=2, epochs=2.0, learning_rate=3e-2, batch_size=20, penalty=0.5), cf_k),
    "eu-k": (
        EuK(k=1, epochs=3.0, learning_rate=5e-2, batch_size=20, penalty=0.1, decay_epochs=(1,), decay_rate=0.5),
        eu_k,
    ),
    "l1-sparse": (
        L1Sparse(epochs=3.0, penalty=2e-3, no_penalty_epochs=1, learning_rate=1e-2, batch_size=20),
        l1_sparse,
    ),
    "random-label": (RandomLabel(epochs=1.5, learning_rate=1e-2, batch_size=6), random_label),
    "salun": (SalUn(epochs=1.5, learning_rate=1e-2, batch_size=6, share=0.3), salun),
    "advanced-neggrad": (AdvancedNegGrad(epochs=1.5, learning_rate=2e-2, batch_size=5), advanced_neggrad),
    "bad-teacher": (
        BadTeacher(epochs=2.0, retain_share=0.4, learning_rate=1e-3, batch_size=10, temperature=2.0, weight_decay=1e-2),
        bad_teacher,
    ),
}
