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
        indices, device, allowance = tuple(range(len(seeds))), torch.device("cpu"), Allowance(9.0)
        return Trial(indices, tuple(seeds), stacked, device, allowance, None, "resnet8-v1", CLASSES, dtype=torch.float64)

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


@dataclass(frozen=True)
class Regression:
    """Softmax regression with 9 parameters, for numbers that were computed elsewhere: 2 inputs, 3 classes, retain and forget.

    Validation is retain again. `theta` lists the weights row by row, then the biases.
    """

    columns: dict[str, tuple[Tensor, Tensor]]

    def model(self, share: float = 1.0) -> nn.Linear:
        """The original, or a student whose weights are that share of its own."""
        model = nn.Linear(2, 3).double()
        with torch.no_grad():
            model.weight.copy_(share * torch.tensor([[0.5, -0.3], [0.1, 0.8], [-0.6, 0.2]], dtype=torch.float64))
            model.bias.copy_(torch.tensor([0.1, -0.2, 0.05], dtype=torch.float64))
        return model

    def data(self, seed: int = 11) -> MethodData:
        return MethodData(**{name: bind(columns, [seed], name, stacked=False) for name, columns in self.columns.items()})

    def trial(self, seed: int = 11, index: int = 0) -> Trial:
        return Trial((index,), (seed,), False, torch.device("cpu"), Allowance(9.0), None, "none", 3, dtype=torch.float64)

    def run(self, method: Method, seed: int = 11) -> list[float]:
        """What a method makes of the original."""
        return self.theta(method.unlearn(self.model(), self.data(seed), self.trial(seed)))

    @staticmethod
    def theta(model: nn.Module) -> list[float]:
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).tolist()


@pytest.fixture(scope="session")
def regression() -> Regression:
    inputs = torch.tensor([[1.0, 0.5], [-0.4, 0.9], [0.3, -1.2], [0.8, 0.8], [0.2, 0.7], [-1.0, 0.1]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 1, 1, 2])
    retain, forget = (inputs[:4], labels[:4]), (inputs[4:], labels[4:])
    return Regression({"retain": retain, "forget": forget, "validation": retain})


@pytest.fixture
def distance() -> Callable[[nn.Module, nn.Module], float]:
    def largest(one: nn.Module, other: nn.Module) -> float:
        pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        return max(float((a.double() - b.double()).abs().max()) for a, b in pairs if a.dim())

    return largest
