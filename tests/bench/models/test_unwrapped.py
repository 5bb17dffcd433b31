"""What is taken off a network changes none of its answers; what would change them stays, and is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim.swa_utils import AveragedModel

from bench.models.build import initialised
from bench.models.returned import returned_model, shapes
from bench.models.stacked import stack
from bench.models.unwrapped import unwrapped

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _net() -> nn.Module:
    net = initialised("resnet8-v1", 4, 0).to(memory_format=torch.contiguous_format)
    net(IMAGES)  # so that normalisation has something to say
    return net


def _averaged(net: nn.Module) -> nn.Module:
    averaged = AveragedModel(net, use_buffers=True)
    for _ in range(2):
        with torch.no_grad():
            net.fc.weight.add_(1)
        averaged.update_parameters(net)
    return averaged


def _pruned(net: nn.Module) -> nn.Module:
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            prune.l1_unstructured(layer, "weight", 0.3)
    prune.random_unstructured(net.conv1, "weight", 0.2)  # once more
    prune.ln_structured(net.fc, "weight", 0.5, n=2, dim=0)
    prune.random_unstructured(net.fc, "bias", 0.5)
    return net


def _pruned_globally(net: nn.Module) -> nn.Module:
    prune.global_unstructured([(net.fc, "weight"), (net.conv1, "weight")], prune.L1Unstructured, amount=0.4)
    return net


class _Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def _parametrized(net: nn.Module) -> nn.Module:
    parametrize.register_parametrization(net.fc, "weight", _Doubled())
    parametrize.register_parametrization(net.fc, "bias", _Doubled())
    parametrizations.weight_norm(net.conv1)
    parametrizations.spectral_norm(net.layer1.conv1)
    return net


def _normed_as_before(net: nn.Module) -> nn.Module:
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(net.fc)
    nn.utils.spectral_norm(net.conv1)
    net(IMAGES)  # spectral norm finds its weights in a forward pass only
    return net


def _layer_wrapped(net: nn.Module) -> nn.Module:
    net.layer3 = nn.DataParallel(torch.compile(net.layer3, backend="eager"))
    net.layer2.shortcut[0] = nn.DataParallel(net.layer2.shortcut[0])
    return net


WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "nothing": lambda net: net,
    "data-parallel": nn.DataParallel,
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "compiled in place": lambda net: net.compile(backend="eager") or net,
    "averaged": _averaged,
    "pruned": _pruned,
    "pruned globally": _pruned_globally,
    "parametrized": _parametrized,
    "older norms": _normed_as_before,
    "layers": _layer_wrapped,
    "all at once": lambda net: nn.DataParallel(AveragedModel(nn.DataParallel(_parametrized(net)))),
}


def _wrapped(way: str) -> nn.Module:
    """The same whenever it is made."""
    torch.manual_seed(0)
    return WAYS[way](_net())


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python")  # torch says so of 3.13.0
@pytest.mark.parametrize("way", WAYS)
def test_a_network_without_its_wrappers_computes_what_it_did(way: str) -> None:
    plain, wrapped = returned_model(_wrapped(way), shapes(_net()), 1), _wrapped(way)
    assert type(plain) is type(_net())
    assert all(module.training for module in plain.modules())
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in plain.parameters())
    with torch.no_grad():
        assert torch.allclose(plain.eval()(IMAGES), wrapped.eval()(IMAGES), atol=1e-6)


def test_a_stack_without_its_wrappers() -> None:
    nets = stack([_net(), _net()])
    assert unwrapped(nn.DataParallel(nets)) is nets


class _Cooled(nn.Module):
    """What is inside is not what this computes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.module(images) / 2


class _CooledParallel(nn.DataParallel):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) / 2


@pytest.mark.parametrize("kind", [_Cooled, _CooledParallel])
def test_what_computes_something_else_stays_and_is_told(kind: type) -> None:
    wrapped = kind(_net())
    assert unwrapped(wrapped) is wrapped
    with pytest.raises(
        TypeError, match=r"bn1\.bias and 48 more are missing; module\.bn1\.bias and 48 more are unexpected; return the"
    ):
        returned_model(wrapped, shapes(_net()), 1)
