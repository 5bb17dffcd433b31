"""Networks, by name and version. A change that alters what a network computes gets a new version, and so a new task key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bench.models.autocast import compute_in
from bench.models.devices import FLOAT32, Precision
from bench.models.resnet8 import ResNet8
from bench.models.resnet18 import ResNet18, challenge_resnet18
from bench.models.stacked import alone, stack

_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "resnet8-v1": ResNet8,
    "resnet18-v1": ResNet18,
    "resnet18-challenge-v1": challenge_resnet18,
}


@dataclass(frozen=True)
class Blueprint:
    """How a task's network is made, and how many models of it become one."""

    make: Callable[[], nn.Module]
    stackable: bool = True
    layout: torch.memory_format = torch.channels_last  # of weights: faster on a CPU, but nothing for networks that use `view`
    precision: Precision = FLOAT32

    def build(self) -> nn.Module:
        """A network with arbitrary weights, in train mode. The global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            return compute_in(self.make().to(memory_format=self.layout), self.precision)

    def initialised(self, seed: int) -> nn.Module:
        """A freshly initialised network: its own initialisation, drawn from `seed` (32 bits)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build()

    def stack(self, nets: Sequence[nn.Module]) -> nn.Module:
        """One network that holds copies of the given ones; of a network that cannot be stacked there may be one only."""
        if self.stackable:
            return stack(nets)
        (net,) = nets
        return alone(net)


def blueprint(network: str, classes: int) -> Blueprint:
    """How a network that comes with bench is made."""
    make = _NETWORKS[network]
    return Blueprint(lambda: make(classes))


def build(network: str, classes: int) -> nn.Module:
    """A network that comes with bench, with arbitrary weights, in train mode and channels-last."""
    return blueprint(network, classes).build()


def initialised(network: str, classes: int, seed: int) -> nn.Module:
    """The same, freshly initialised: torch's own initialisation, drawn from `seed` (32 bits)."""
    return blueprint(network, classes).initialised(seed)
