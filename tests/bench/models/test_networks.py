"""What is known of networks without building them is true of those that are built."""

from __future__ import annotations

import pytest
import torch

from bench.engine.plan import stack_size
from bench.models.build import _NETWORKS, build
from bench.models.networks import NETWORKS, shipped_network


def test_every_network_is_known_and_built() -> None:
    assert NETWORKS.keys() == _NETWORKS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_costs(name: str) -> None:
    network, known = build(name, 10), NETWORKS[name]
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(known.parameters, rel=0.01)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = network(torch.rand(4, 3, 64, 64)).sum()
    numbers = sum(size for place, size in kept.items() if place not in own) / 4
    assert loss.requires_grad
    assert numbers / 4 / 64**2 == pytest.approx(known.activations, rel=0.1)


def test_stacks_of_large_networks_are_small() -> None:
    """On a GPU; 64 pixels: what a device of 4 GB has room for."""
    stacks = {
        (name, size): stack_size("some GPU", NETWORKS[name].cpu_stack, NETWORKS[name].training_bytes(size, 64))
        for name in ("resnet8-v1", "resnet18-v1")
        for size in (32, 64, 128)
    }
    assert list(stacks.values()) == [64, 64, 16, 8, 4, 2]


def test_names_with_and_without_version() -> None:
    assert [shipped_network(name) for name in ("resnet8", "resnet8-v1", "resnet8-v2", "vit")] == ["resnet8-v1"] * 2 + [None] * 2
