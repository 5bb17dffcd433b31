"""Plain training loops, written a second time: what methods are compared with. A module, since cases import it by name."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from bench import Method
from bench.seeds import generator

SHARES = [percent / 100 for percent in range(1, 101)]


def least(kind: type[Method]) -> Method:
    """The method as it fits the smallest budget that it takes; those that are larger it takes, too."""
    fitting, refusals = [], []
    for share in SHARES:
        try:
            fitting.append(kind().within(share))
        except ValueError as refusal:
            refusals.append(str(refusal))
    assert fitting[0] == kind().within(SHARES[len(refusals)])
    assert all("least of it" in told or told.endswith("of a retraining") for told in refusals)
    return fitting[0]


class Loop:
    """Plain training loops over a setting, with the shuffles that a seed gives."""

    def __init__(self, setting, seed: int) -> None:
        self.columns = setting.columns
        self.original = setting.original
        self.orders = {name: generator(seed, name) for name in setting.columns}
        self.seed = seed
        self.own = generator(seed, "method")
        self.model = copy.deepcopy(setting.original)

    def batches(self, split: str, size: int, passes: float = 1.0) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        images, labels = self.columns[split]
        left = max(round(passes * math.ceil(len(labels) / size)), passes > 0)
        while left > 0:
            order = torch.randperm(len(labels), generator=self.orders[split])
            for rows in order.split(size):
                if left > 0:
                    yield images[rows], labels[rows], rows
                left -= 1

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def shake(self, amount: float) -> None:
        with torch.no_grad():
            for module in self.model.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    noise = torch.randn(module.weight.shape, generator=self.own, dtype=torch.float64)
                    module.weight += amount * module.weight.std() * noise

    def fine_tune(self, epochs: float, rate: float, size: int, *, per_epoch: bool) -> None:
        optimizer = SGD(self.model.parameters(), rate, momentum=0.9, weight_decay=5e-4)
        batches = math.ceil(len(self.columns["retain"][1]) / size)
        every = batches if per_epoch else 1
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches / every)
        for taken, (images, labels, _) in enumerate(self.batches("retain", size, epochs), start=1):
            optimizer.zero_grad()
            functional.cross_entropy(self.model(images), labels).backward()
            optimizer.step()
            if taken % every == 0:
                schedule.step()

    def scrub(
        self,
        *,
        max_epochs: int,
        epochs: int,
        learning_rate: float,
        alpha: float,
        retain_batch: int,
        forget_batch: int,
        decay_epochs: tuple[int, ...],
        gamma: float = 0.99,
        temperature: float = 4.0,
        decay_rate: float = 0.1,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> Iterator[str]:
        teacher = copy.deepcopy(self.original).eval()
        optimizer = optimizer or SGD(self.model.parameters(), learning_rate, momentum=0.9, weight_decay=5e-4)

        def divergence(images: Tensor, logits: Tensor) -> Tensor:
            with torch.no_grad():
                target = (teacher(images) / temperature).softmax(1)
            return temperature**2 * functional.kl_div((logits / temperature).log_softmax(1), target, reduction="batchmean")

        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(decay_epochs), gamma=decay_rate)
        for epoch in range(epochs):
            if epoch < max_epochs:
                for images, _, _ in self.batches("forget", forget_batch):
                    optimizer.zero_grad()
                    (-divergence(images, self.model(images))).backward()
                    optimizer.step()
                yield "max"
            for images, labels, _ in self.batches("retain", retain_batch):
                logits = self.model(images)
                optimizer.zero_grad()
                (gamma * functional.cross_entropy(logits, labels) + alpha * divergence(images, logits)).backward()
                optimizer.step()
            schedule.step()
            yield "min"

    def error(self, split: str, keep: Tensor | None = None) -> float:
        images, labels = self.columns[split]
        self.model.eval()
        with torch.no_grad():
            wrong = self.model(images).argmax(1) != labels
        self.model.train()
        return float((wrong if keep is None else wrong[keep]).double().mean())
