"""What networks lack, and what their parts are."""

from __future__ import annotations

import torch
from torch import nn

from bench.models.build import build
from bench.models.layers import batch_norms, blocks, lacking, last_linear, placed
from bench.models.stacked import stack


def test_ours_lack_nothing() -> None:
    for network in (build("resnet8-v1", 4), stack([build("resnet8-v1", 4)] * 2), build("resnet18-v1", 4)):
        assert lacking(network, ("batch-norm", "convolution", "linear")) == []


def test_what_is_missing_is_named() -> None:
    assert lacking(nn.Linear(2, 3), ("batch-norm", "linear", "convolution")) == ["batch normalisation", "a convolution"]


def test_the_last_linear_layer_is_the_classifier() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.ReLU())
    assert last_linear(net) == ("2", net[2])
    assert last_linear(stack([build("resnet8-v1", 4)] * 2))[0] == "fc"
    assert last_linear(net[0]) == ("", net[0])


def test_layers_of_batch_normalisation() -> None:
    assert batch_norms(build("resnet8-v1", 4))[:3] == ["bn1", "layer1.bn1", "layer1.bn2"]
    assert batch_norms(nn.Linear(2, 3)) == []


def test_blocks() -> None:
    for network, count in ((build("resnet8-v1", 4), 3), (stack([build("resnet8-v1", 4)] * 2), 3), (build("resnet18-v1", 4), 4)):
        assert blocks(network) == [f"layer{index + 1}" for index in range(count)]


class _Wrapped(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.normalise, self.net = nn.Identity(), net


def test_blocks_of_what_is_wrapped() -> None:
    names = ["net.layer1", "net.layer2", "net.layer3"]
    assert blocks(_Wrapped(build("resnet8-v1", 4))) == names
    assert blocks(stack([_Wrapped(build("resnet8-v1", 4))] * 2)) == names
    assert blocks(_Wrapped(_Wrapped(build("resnet8-v1", 4)))) == [f"net.{name}" for name in names]
    assert blocks(_Wrapped(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)))) == ["net"]


def test_single_layers_are_no_blocks() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 3)), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    )
    assert blocks(network) == ["1"]


def test_counters_of_batches_stay_on_the_host() -> None:
    """ "meta" stands in for a GPU: a device on which nothing is computed."""
    network = placed(stack([build("resnet8-v1", 4)] * 2), torch.device("meta"))
    where = {name: buffer.device.type for name, buffer in network.named_buffers()}
    assert {name for name, device in where.items() if device == "cpu"} == {
        f"{name}.num_batches_tracked" for name in batch_norms(network)
    }
    assert all(parameter.is_meta for parameter in network.parameters())


def test_counters_that_there_are_not_stay_away() -> None:
    network = placed(nn.BatchNorm2d(3, track_running_stats=False), torch.device("cpu"))
    assert network.num_batches_tracked is None
    assert network(torch.ones(2, 3, 4, 4)).shape == (2, 3, 4, 4)
