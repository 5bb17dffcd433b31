"""A stack computes what its models would compute alone."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from bench.losses import cross_entropy, step
from bench.models.build import build, initialised
from bench.models.stacked import alone, size, stack, unstack
from bench.weights import state

MODELS = 3


def _train(net: nn.Module, make: Callable[[nn.Module], Optimizer], images: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    optimizer = make(net)
    for batch, truth in zip(images, labels, strict=True):
        step(optimizer, cross_entropy(net(batch), truth))
    return net


def _data(steps: int, batch: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(steps, MODELS, batch, 3, size, size, generator=generator, dtype=torch.float64)
    return images, torch.randint(10, (steps, MODELS, batch), generator=generator)


def _largest_difference(nets: list[nn.Module], optimizer: Callable[[nn.Module], Optimizer], steps: int) -> float:
    """Between a stack's weights and running statistics and those of its models trained alone, in float64."""
    images, labels = _data(steps, 8, 32)
    stacked = state(_train(stack(nets), optimizer, images, labels))
    alone = [state(_train(net, optimizer, images[:, m], labels[:, m])) for m, net in enumerate(nets)]
    assert any("running_var" in name for name in stacked)
    return max(float((view[m] - alone[m][name][0]).abs().max()) for name, view in stacked.items() for m in range(MODELS))


def test_stacked_training_equals_single_training() -> None:
    """The proof that stacks may be used."""
    nets = [initialised("resnet8-v1", 10, seed).double() for seed in range(MODELS)]
    difference = _largest_difference(nets, lambda net: AdamW(net.parameters(), lr=4e-3, weight_decay=1e-4), steps=30)
    assert difference <= 1e-12


def test_the_larger_network_too() -> None:
    nets = [initialised("resnet18-v1", 10, seed).double() for seed in range(MODELS)]
    assert _largest_difference(nets, lambda net: SGD(net.parameters(), lr=1e-2, momentum=0.9), steps=2) <= 1e-9


def test_networks_from_elsewhere_can_be_stacked() -> None:
    """SGD: AdamW divides by the root of near-zero gradients, which blows rounding up in this far deeper network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nets = [torchvision.models.resnet18(num_classes=10).double() for _ in range(MODELS)]
    assert _largest_difference(nets, lambda net: SGD(net.parameters(), lr=1e-2, momentum=0.9), steps=2) <= 1e-9


def test_models_of_a_stack_differ_and_can_be_taken_out() -> None:
    nets = [initialised("resnet8-v1", 10, seed) for seed in range(MODELS)]
    stacked = stack(nets).eval()
    images = torch.rand(4, 3, 32, 32)
    logits = stacked(images)
    assert logits.shape == (MODELS, 4, 10)
    assert not torch.equal(logits[0], logits[1])
    for m in range(MODELS):
        plain = unstack(stacked, m, build("resnet8-v1", 10))
        torch.testing.assert_close(plain.eval()(images), logits[m], rtol=1e-4, atol=1e-5)


def test_any_network_is_a_stack_of_one() -> None:
    """It learns what it learns alone, and is called as a stack is."""
    net = nn.Sequential(nn.Flatten(), nn.LayerNorm(3 * 8 * 8), nn.Linear(3 * 8 * 8, 5)).double()
    one, images = alone(net), torch.rand(4, 3, 8, 8, dtype=torch.float64)
    assert (size(one), one(images).shape, one(images[None]).shape) == (1, (1, 4, 5), (1, 4, 5))
    for model, given in ((net, images), (one, images[None])):
        optimizer = SGD(model.parameters(), lr=1e-2)
        step(optimizer, cross_entropy(model(given), torch.arange(4)))
    assert torch.equal(one(images)[0], net(images))
    assert torch.equal(unstack(one, 0, net)(images), net(images))


def test_stacking_copies() -> None:
    net = initialised("resnet8-v1", 10, 0)
    stacked = stack([net, net])
    with torch.no_grad():
        stacked.fc.weight.zero_()
    assert net.fc.weight.abs().sum() > 0
    assert size(net) == 1
    assert size(stacked) == 2
    assert type(stacked) is type(net)


def test_unstackable_layers_are_refused() -> None:
    for layer in (nn.Dropout(0.5), nn.LayerNorm(4), nn.Conv1d(1, 1, 1)):
        with pytest.raises(TypeError, match="cannot stack"):
            stack([nn.Sequential(nn.Conv2d(3, 3, 1), layer)])
