"""Networks in bfloat16: inside only, and nothing of an earlier pass is kept."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.models.autocast import compute_in
from bench.models.build import initialised
from bench.models.stacked import stack, unstack
from bench.weights import state

IMAGES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 4


def network() -> nn.Module:
    return initialised("resnet8-v1", 4, 0)


@pytest.fixture
def kinds() -> list[torch.dtype]:
    return []


def watched(net: nn.Module, kinds: list[torch.dtype]) -> nn.Module:
    """Notes in which numbers a layer inside answers."""
    net.layer1.conv1.register_forward_hook(lambda _module, _images, found: kinds.append(found.dtype))
    return net


def test_layers_compute_in_bfloat16_and_all_that_is_kept_is_float32(kinds) -> None:
    net = watched(compute_in(network(), "bf16"), kinds)
    logits = net(IMAGES)
    cross_entropy(logits, LABELS).backward()
    assert kinds == [torch.bfloat16]
    assert logits.dtype == torch.float32
    assert {view.dtype for view in state(net).values()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in net.parameters()} == {torch.float32}


def test_it_is_torchs_autocast() -> None:
    net = network().eval()
    with torch.autocast("cpu", torch.bfloat16):
        expected = net(IMAGES).float()
    assert torch.equal(compute_in(net, "bf16")(IMAGES), expected)


def test_weights_are_read_anew_in_every_pass() -> None:
    """Kept in bfloat16 from one pass to the next, also within somebody's own autocast, they would not learn."""
    net, other = compute_in(network(), "bf16"), compute_in(initialised("resnet8-v1", 4, 1), "bf16")
    with torch.autocast("cpu", torch.bfloat16):
        net(IMAGES)
        for name, view in state(net).items():
            view.copy_(state(other)[name])
        assert torch.equal(net.eval()(IMAGES), other.eval()(IMAGES))


def test_copies_and_stacks_compute_alike(kinds) -> None:
    net = compute_in(network(), "bf16")
    for made in (copy.deepcopy(net), unstack(stack([net, net]), 1, net)):
        assert torch.equal(made.eval()(IMAGES), net.eval()(IMAGES))
    stacked = watched(stack([net, net]), kinds)
    logits: Tensor = stacked.eval()(IMAGES)
    assert kinds == [torch.bfloat16]
    assert (logits.dtype, logits.shape) == (torch.float32, (2, 6, 4))
    assert (logits[0] - net(IMAGES)).abs().max() < 0.05


@pytest.mark.filterwarnings("ignore:Guards may run slower")  # torch of Python 3.13.0
def test_it_can_be_pickled_and_compiled() -> None:
    net = compute_in(network(), "bf16").eval()
    expected = net(IMAGES)
    assert torch.equal(pickle.loads(pickle.dumps(net))(IMAGES), expected)
    assert torch.equal(torch.compile(net, backend="eager")(IMAGES), expected)
    assert not torch.is_autocast_enabled("cpu")


def test_it_may_be_ended(kinds) -> None:
    net = watched(compute_in(network(), "bf16"), kinds)
    compute_in(net, "float32")
    assert torch.equal(net.eval()(IMAGES), network().eval()(IMAGES))
    assert kinds == [torch.float32]
    assert compute_in(network(), "float32")._forward_hooks == {}


def test_a_pass_that_fails_leaves_nothing_behind() -> None:
    net = compute_in(network(), "bf16")
    with pytest.raises(RuntimeError):
        net(torch.rand(2, 5, 32, 32))
    assert not torch.is_autocast_enabled("cpu")
    assert (IMAGES[0, 0] @ IMAGES[0, 0]).dtype == torch.float32


def test_pictures_may_be_given_by_name() -> None:
    net = compute_in(network(), "bf16").eval()
    assert torch.equal(net(images=IMAGES), net(IMAGES))
