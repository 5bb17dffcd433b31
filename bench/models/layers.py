"""Which layers a network has, for methods that cannot do without some, or treat some in their own way."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from bench.method import Layer

_KINDS: dict[Layer, tuple[type[nn.Module], str]] = {
    "batch-norm": (nn.BatchNorm2d, "batch normalisation"),
    "convolution": (nn.Conv2d, "a convolution"),
    "linear": (nn.Linear, "a linear layer"),
}


def lacking(network: nn.Module, needed: Iterable[Layer]) -> list[str]:
    """Of the layers that are needed, those that a network has not, in words."""
    return [words for kind, words in (_KINDS[each] for each in needed) if not any(isinstance(m, kind) for m in network.modules())]


def blocks(network: nn.Module) -> list[str]:
    """The network's parts that are made of layers and hold convolutions, in order: layer1 to layer4 of a ResNet-18.

    Where there is one such part, and it has several itself, it is a wrapper: then they are the blocks.
    """
    parts = {name: list(part.modules())[1:] for name, part in network.named_children()}
    found = [name for name, inside in parts.items() if any(isinstance(module, nn.Conv2d) for module in inside)]
    if len(found) != 1:
        return found
    inner = blocks(network.get_submodule(found[0]))
    return [f"{found[0]}.{name}" for name in inner] if len(inner) > 1 else found


def batch_norms(network: nn.Module) -> list[str]:
    """Layers of batch normalisation, by their names in the network."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, moved to a device; its counters of batches stay on the host, where counting costs the device no kernel."""
    counters = {name: network.get_submodule(name).get_buffer("num_batches_tracked") for name in batch_norms(network)}
    network.to(device)
    for name, counter in counters.items():
        network.get_submodule(name).register_buffer("num_batches_tracked", counter)
    return network


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """The classifier, by its name in the network: the linear layer that is defined last."""
    *_, last = ((name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear))
    return last
