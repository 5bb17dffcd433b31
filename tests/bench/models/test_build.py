"""Networks are torch's own, freshly initialised from a seed."""

from __future__ import annotations

import torch

from bench.models.build import initialised


def test_initialisation_is_torchs_own_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    net = initialised("resnet8-v1", 10, 5)
    assert torch.equal(torch.rand(1), expected)
    torch.testing.assert_close(net.fc.weight, initialised("resnet8-v1", 10, 5).fc.weight, rtol=0, atol=0)
    assert sum(p.numel() for p in net.parameters()) == 78_810
