"""A task of ten seconds: random patterns instead of faces, learnt by heart, on which every property of a method can be seen."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.budget import Allowance
from bench.losses import cross_entropy, step
from bench.method import Method
from bench.models.build import build, initialised
from bench.models.returned import returned_model, shapes
from bench.models.stacked import stack, unstack
from bench.seeds import generator
from bench.splits import MethodData, Split, bind, predict
from bench.trial import Trial

NETWORK, CLASSES = "resnet8-v1", 10  # as many as the default task has
SIZES = {"retain": 96, "forget": 32, "validation": 32}
ORIGINALS = 3
_STEPS, _RATE = 25, 0.05
_NOISE = 0.25  # of a pattern's images, whose pixels are in [0, 1]
AMPLE = 600.0  # seconds: a budget that does not bind

Columns = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ToyTask:
    """Originals that differ in their initialisation, trained on retain and forget, and the splits that a method may see."""

    originals: Sequence[nn.Module]
    columns: dict[str, Columns]
    device: torch.device

    def in_double(self) -> ToyTask:
        """The same in float64."""
        columns = {name: (images.double(), labels) for name, (images, labels) in self.columns.items()}
        return replace(self, originals=[copy.deepcopy(model).double() for model in self.originals], columns=columns)

    def on(self, device: str) -> ToyTask:
        """The same on another device."""
        columns = {name: (images.to(device), labels.to(device)) for name, (images, labels) in self.columns.items()}
        originals = [copy.deepcopy(model).to(device) for model in self.originals]
        return ToyTask(originals, columns, torch.device(device))

    def with_other_forget_set(self) -> ToyTask:
        """The same with as many other images to forget."""
        images, labels = self.columns["forget"]
        return replace(self, columns={**self.columns, "forget": (1 - images, (labels + 1) % CLASSES)})

    def pictures(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images [n, 3, 32, 32] and labels [n] of a split, as a task has them."""
        images, labels = self.columns[name]
        return (255 * images).round().to(torch.uint8).cpu().numpy(), labels.cpu().numpy()

    def data(self, seeds: Sequence[int], *, stacked: bool = False) -> MethodData:
        """The splits for trials of the given seeds."""
        people = torch.arange(max(SIZES.values()), device=self.device) // 4
        splits = {name: bind(columns, seeds, name, stacked=stacked) for name, columns in self.columns.items()}
        return MethodData(**{name: replace(split, identities=people[: len(split)]) for name, split in splits.items()})

    def trial(
        self, indices: Sequence[int], seeds: Sequence[int], *, stacked: bool = False, budget: Allowance | None = None
    ) -> Trial:
        """What comes with them."""
        allowance = budget or Allowance(AMPLE, lambda: 0.0)
        dtype = next(self.originals[0].parameters()).dtype
        return Trial(tuple(indices), tuple(seeds), stacked, self.device, allowance, None, NETWORK, CLASSES, dtype=dtype)

    def original(self, index: int = 0) -> nn.Module:
        """A copy of an original, in train mode."""
        return copy.deepcopy(self.originals[index % ORIGINALS]).train()

    def unlearn(
        self, method: Method, seed: int, *, index: int = 0, model: nn.Module | None = None, budget: Allowance | None = None
    ) -> nn.Module:
        """One trial on a plain network, with the global generators seeded as the engine does."""
        seed_globally(seed)
        given = model or self.original(index)
        wanted = shapes(given)
        returned = method.variant(index).unlearn(given, self.data([seed]), self.trial([index], [seed], budget=budget))
        return returned_model(returned, wanted, 1)

    def unlearn_stacked(self, method: Method, seeds: Sequence[int], indices: Sequence[int]) -> list[nn.Module]:
        """Trials as one stack, taken apart again."""
        model = stack([self.original(index) for index in indices])
        data, trial = self.data(seeds, stacked=True), self.trial(indices, seeds, stacked=True)
        wanted = shapes(model)
        done = returned_model(method.variant(indices[0]).unlearn(model, data, trial), wanted, len(seeds))
        template = build(NETWORK, CLASSES).to(next(done.parameters()).dtype)
        return [unstack(done, position, template) for position in range(len(indices))]

    def accuracy(self, model: nn.Module, split: str) -> float:
        """The share of right answers, in evaluation mode."""
        whole = Split(self.columns[split], [])
        return float((predict(model, whole).argmax(-1) == whole.labels).double().mean())


def seed_globally(seed: int) -> None:
    """Seed the generators that a plain method may use."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


@cache
def toy_task() -> ToyTask:
    """The task; training its originals takes a second or two."""
    draws = generator(0, "conformance")
    patterns = torch.rand(CLASSES, 3, 32, 32, generator=draws)

    def images_of(labels: Tensor) -> Tensor:
        noise = torch.randn(len(labels), 3, 32, 32, generator=draws)
        return (patterns[labels] + _NOISE * noise).clamp(0, 1)

    labels = {name: torch.randint(CLASSES, (size,), generator=draws) for name, size in SIZES.items()}
    columns = {name: (images_of(each), each) for name, each in labels.items()}
    trained = [torch.cat(pair) for pair in zip(columns["retain"], columns["forget"], strict=True)]
    return ToyTask([_original(seed, *trained) for seed in range(ORIGINALS)], columns, torch.device("cpu"))


def _original(seed: int, images: Tensor, labels: Tensor) -> nn.Module:
    model = initialised(NETWORK, CLASSES, seed)
    optimizer = torch.optim.SGD(model.parameters(), _RATE, momentum=0.9)
    for rows in (torch.randperm(len(labels), generator=generator(seed, "shuffle"))[:64] for _ in range(_STEPS)):
        step(optimizer, cross_entropy(model(images[rows]), labels[rows]))
    return model


def distance(one: nn.Module, other: nn.Module) -> float:
    """The largest difference between two networks' parameters and buffers."""
    ours, theirs = one.state_dict(), other.state_dict()
    pairs = [(ours[name], theirs[name]) for name in theirs]  # by name: pruning changes the order
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs if a.dim())
