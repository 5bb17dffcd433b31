"""A tiny float64 setting in which every method can be computed twice."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from bench import Method
from bench.budget import Allowance
from bench.models.build import build, initialised
from bench.models.stacked import stack, unstack
from bench.splits import MethodData, bind
from bench.trial import Trial

CLASSES = 4
SIZES = {"retain": 48, "forget": 16, "validation": 16}


@dataclass(frozen=True)
class Setting:
    """One original model, three splits of random images."""

    original: nn.Module
    columns: dict[str, tuple[Tensor, Tensor]]

    def data(self, seeds: Sequence[int], *, stacked: bool) -> MethodData:
        return MethodData(**{name: bind(columns, seeds, name, stacked=stacked) for name, columns in self.columns.items()})

    def trial(self, seeds: Sequence[int], *, stacked: bool) -> Trial:
        return Trial(
            tuple(range(len(seeds))), tuple(seeds), stacked, torch.device("cpu"), Allowance(9.0), None, "resnet8-v1", CLASSES
        )

    def run_alone(self, method: Method, seed: int) -> nn.Module:
        """The method on a plain network."""
        model = copy.deepcopy(self.original)
        return method.unlearn(model, self.data([seed], stacked=False), self.trial([seed], stacked=False))

    def run_stacked(self, method: Method, seeds: Sequence[int]) -> list[nn.Module]:
        """The method on a stack, taken apart again."""
        model = stack([self.original] * len(seeds))
        done = method.unlearn(model, self.data(seeds, stacked=True), self.trial(seeds, stacked=True))
        return [unstack(done, m, build("resnet8-v1", CLASSES).double()) for m in range(len(seeds))]


@pytest.fixture(scope="session")
def setting() -> Setting:
    generator = torch.Generator().manual_seed(0)
    columns = {
        name: (
            torch.rand(size, 3, 32, 32, generator=generator, dtype=torch.float64),
            torch.randint(CLASSES, (size,), generator=generator),
        )
        for name, size in SIZES.items()
    }
    model = initialised("resnet8-v1", CLASSES, 1).double()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for _ in range(15):
        for split in ("retain", "forget"):
            images, labels = columns[split]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return Setting(model, columns)


@pytest.fixture
def distance() -> Callable[[nn.Module, nn.Module], float]:
    def largest(one: nn.Module, other: nn.Module) -> float:
        pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        return max(float((a.double() - b.double()).abs().max()) for a, b in pairs if a.dim())

    return largest
