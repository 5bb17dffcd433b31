"""Batched products compute what grouped convolutions compute: answers, gradients, and what is learnt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from bench.losses import cross_entropy, step
from bench.models import products
from bench.models.autocast import compute_in
from bench.models.build import initialised
from bench.models.products import convolved, faster, fits
from bench.models.stacked import StackedConv2d, stack
from bench.weights import state

MODELS = 2


def slowly(net: nn.Module) -> SGD:
    """As the larger network is trained: with a decay that moves taps without a gradient, too."""
    return SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-3)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As if products were faster everywhere, until `undo`."""
    asked: list[int] = []
    monkeypatch.setattr(products, "faster", lambda device, channels: not asked.append(channels))
    yield monkeypatch
    assert asked


def network(name: str) -> nn.Module:
    """A stack in float64."""
    return stack([initialised(name, 4, seed).double() for seed in range(MODELS)])


def batch(steps: int = 1, size: int = 12, pixels: int = 32) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(steps, MODELS, size, 3, pixels, pixels, generator=draws, dtype=torch.float64)
    return images, torch.randint(4, (steps, MODELS, size), generator=draws)


def gradients(name: str) -> tuple[Tensor, dict[str, Tensor]]:
    net, (images, labels) = network(name), batch()
    logits = net(images[0])
    cross_entropy(logits, labels[0]).sum().backward()
    return logits.detach(), {name: parameter.grad for name, parameter in net.named_parameters()}


@pytest.mark.parametrize("name", ["resnet8-v1", "resnet18-v1"])
def test_answers_and_gradients_are_those_of_grouped_convolutions(everywhere, name: str) -> None:
    logits, found = gradients(name)
    everywhere.undo()
    expected, wanted = gradients(name)
    assert (logits - expected).abs().max() <= 1e-12
    for parameter, gradient in wanted.items():
        assert (found[parameter] - gradient).norm() <= 1e-12 * max(1.0, float(gradient.norm())), parameter


@pytest.mark.parametrize(
    ("name", "steps", "make"),
    [
        ("resnet8-v1", 30, lambda net: AdamW(net.parameters(), lr=4e-3, weight_decay=1e-4)),
        ("resnet18-v1", 2, slowly),
        pytest.param("resnet18-v1", 30, slowly, marks=pytest.mark.slow),
    ],
)
def test_steps_come_to_the_same_weights(everywhere, name: str, steps: int, make) -> None:
    images, labels = batch(steps)

    def trained() -> dict[str, Tensor]:
        net = network(name)
        optimizer = make(net)
        for each, truth in zip(images, labels, strict=True):
            step(optimizer, cross_entropy(net(each), truth))
        return state(net)

    found = trained()
    everywhere.undo()
    for part, expected in trained().items():
        assert (found[part] - expected).abs().max() <= 1e-9, part


ODD = [
    {"kernel_size": 1},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "padding": 1, "stride": 2},
    {"kernel_size": 5, "padding": 2, "stride": 2, "bias": True},
    {"kernel_size": 2, "stride": 2, "bias": True},
    {"kernel_size": 3},
]


@pytest.mark.parametrize("pixels", [3, 4, 7])
@pytest.mark.parametrize("options", ODD, ids=str)
def test_every_shape_of_layer(options: dict, pixels: int) -> None:
    draws = torch.Generator().manual_seed(1)
    layer = nn.Conv2d(2 * MODELS, 5 * MODELS, groups=MODELS, **{"bias": False, **options}).double()
    if layer.kernel_size[0] > pixels + 2 * int(layer.padding[0]):
        pytest.skip("the kernel is larger than the picture")
    images = torch.rand(4, 2 * MODELS, pixels, pixels, generator=draws, dtype=torch.float64, requires_grad=True)
    results = []
    for compute in (lambda x: convolved(layer, MODELS, x), layer):
        layer.zero_grad()
        images.grad = None
        out = compute(images)
        (out * torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)).sum().backward()
        results.append([out.detach(), images.grad, *(parameter.grad for parameter in layer.parameters())])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_taps_that_see_padding_only_have_no_gradient() -> None:
    """A kernel of three on a map of one pixel: its middle is all that it is."""
    layer = nn.Conv2d(2 * MODELS, 2 * MODELS, 3, padding=1, groups=MODELS, bias=False)
    convolved(layer, MODELS, torch.rand(4, 2 * MODELS, 1, 1)).sum().backward()
    rest = layer.weight.grad.clone()
    assert rest[:, :, 1, 1].all()
    rest[:, :, 1, 1] = 0
    assert not rest.any()


def test_bfloat16_within_a_network_of_bfloat16(everywhere) -> None:
    """They round the same products; the sums of these in another order."""
    images, _ = batch()

    def answers() -> Tensor:
        net = compute_in(stack([initialised("resnet8-v1", 4, seed) for seed in range(MODELS)]).eval(), "bf16")
        return net(images[0].float()).detach()

    found = answers()
    everywhere.undo()
    assert found.dtype == torch.float32
    assert (found - answers()).abs().max() < 0.02


@pytest.mark.parametrize(
    "options",
    [{"dilation": 2}, {"padding": 1, "padding_mode": "reflect"}, {"padding": (1, 0)}, {"stride": (1, 2)}, {"padding": "same"}],
    ids=str,
)
def test_what_products_cannot_express_stays_grouped(everywhere, options: dict) -> None:
    layer = nn.Conv2d(MODELS, MODELS, 3, groups=MODELS, **options)
    assert not fits(layer, MODELS, torch.rand(2, MODELS, 8, 8))
    assert fits(nn.Conv2d(MODELS, MODELS, 3, groups=MODELS), MODELS, torch.rand(2, MODELS, 8, 8))
    depthwise = nn.Conv2d(4 * MODELS, 4 * MODELS, 3, groups=4 * MODELS)
    assert not fits(depthwise, MODELS, torch.rand(2, 4 * MODELS, 8, 8))


def test_where_no_tap_meets_a_pixel_or_there_is_none_groups_answer(everywhere) -> None:
    layer = nn.Conv2d(2, 2, 1, stride=2, padding=1, groups=MODELS)
    assert not fits(layer, MODELS, torch.rand(1, MODELS, 1, 1))
    plain = nn.Conv2d(2, 2, 3, padding=1, groups=MODELS)
    assert not fits(plain, MODELS, torch.rand(0, MODELS, 8, 8))
    assert fits(plain, MODELS, torch.rand(1, MODELS, 1, 1))


def test_a_processor_computes_in_groups() -> None:
    """The arithmetic of divisions on a CPU is what it was."""
    assert [faster("cpu", channels) for channels in (16, 64, 512)] == [False] * 3
    assert [faster("cuda", channels) for channels in (3, 16, 32, 64, 512)] == [False] * 3 + [True] * 2
    net = stack([initialised("resnet8-v1", 4, 0)] * 2)
    assert {type(module) for module in net.modules() if isinstance(module, nn.Conv2d)} == {StackedConv2d}


def test_a_second_derivative_is_refused_not_wrong(everywhere) -> None:
    net, (images, labels) = network("resnet8-v1"), batch()
    slopes = torch.autograd.grad(cross_entropy(net(images[0]), labels[0]).sum(), net.layer1.conv1.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slopes[0].square().sum().backward()
