"""Networks, by name and version. A change that alters what a network computes gets a new version, and so a new task key."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from bench.models.resnet8 import ResNet8
from bench.models.resnet18 import ResNet18, challenge_resnet18

_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "resnet8-v1": ResNet8,
    "resnet18-v1": ResNet18,
    "resnet18-challenge-v1": challenge_resnet18,
}


def build(network: str, classes: int) -> nn.Module:
    """A network with arbitrary weights, in train mode and channels-last. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return _NETWORKS[network](classes).to(memory_format=torch.channels_last)


def initialised(network: str, classes: int, seed: int) -> nn.Module:
    """A freshly initialised network: torch's own initialisation, drawn from `seed` (32 bits)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(network, classes)
