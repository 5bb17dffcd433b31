"""What networks lack."""

from __future__ import annotations

from torch import nn

from bench.models.build import build
from bench.models.layers import lacking
from bench.models.stacked import stack


def test_ours_lack_nothing() -> None:
    for network in (build("resnet8-v1", 4), stack([build("resnet8-v1", 4)] * 2), build("resnet18-v1", 4)):
        assert lacking(network, ("batch-norm", "convolution", "linear")) == []


def test_what_is_missing_is_named() -> None:
    assert lacking(nn.Linear(2, 3), ("batch-norm", "linear", "convolution")) == ["batch normalisation", "a convolution"]
