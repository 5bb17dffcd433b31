"""What classical baselines promise, and numbers that were computed elsewhere."""

from __future__ import annotations

import copy

import pytest
import torch
from bench_plugins.cf_k import CfK, blocks, last_parts, only
from bench_plugins.eu_k import EuK, redraw
from bench_plugins.l1_sparse import L1Sparse

from bench import BenchError
from bench.losses import cross_entropy
from bench.models.build import build
from bench.weights import sums


def _differing(model, other) -> set[str]:
    """Names of tensors, of parameters and buffers, that are not equal bit for bit."""
    pairs = zip(model.state_dict().items(), other.state_dict().values(), strict=True)
    return {name for (name, mine), theirs in pairs if not torch.equal(mine, theirs)}


def _parts(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(("network", "count"), [("resnet8-v1", 3), ("resnet18-v1", 4)])
def test_blocks_of_networks(network: str, count: int) -> None:
    net = build(network, 10)
    assert blocks(net) == [f"layer{index + 1}" for index in range(count)]
    assert last_parts(net, 1, head=True) == [f"layer{count}", "fc"]
    assert last_parts(net, 0, head=True) == ["fc"]
    assert last_parts(net, count, head=False) == blocks(net)


@pytest.mark.parametrize("method", [CfK(k=4), EuK(k=4)])
def test_more_blocks_than_there_are_is_refused(setting, method) -> None:
    model = copy.deepcopy(setting.original)
    with pytest.raises(BenchError, match="k is 4, and the network has 3 blocks: layer1, layer2, layer3"):
        method.unlearn(model, setting.data([11], stacked=False), setting.trial([11], stacked=False))
    assert not _differing(model, setting.original)


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to train"):
        CfK(k=0, head=False)


def test_cf_k_with_the_bias_alone(regression) -> None:
    model = regression.model()
    CfK(epochs=1.0, learning_rate=0.01, batch_size=4, penalty=0.0).fit(model, [model.bias], regression.data())
    assert model.bias.tolist() == pytest.approx([0.0984769197, -0.1983897892, 0.0499128694], abs=1e-9)
    assert torch.equal(model.weight, regression.model().weight)


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("train_statistics", [True, False])
def test_cf_k_leaves_frozen_blocks_and_their_statistics(setting, head: bool, train_statistics: bool) -> None:
    method = CfK(k=1, epochs=1.0, learning_rate=0.1, head=head, train_statistics=train_statistics)
    model = setting.run_alone(method, 11)
    changed = _differing(model, setting.original)
    assert _parts(changed) == ({"layer3", "fc"} if head else {"layer3"})
    assert train_statistics == any("running" in name for name in changed)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_frozen_parts_take_no_gradients(setting) -> None:
    model = copy.deepcopy(setting.original)
    with only(model, ["layer3"], train_statistics=False) as trained:
        assert len(trained) == len(list(model.layer3.parameters()))
        model(setting.columns["forget"][0]).sum().backward()
    assert model.layer2.conv1.weight.grad is None


@pytest.mark.parametrize("statistics", [True, False])
def test_eu_k_starts_from_fresh_blocks(setting, statistics: bool) -> None:
    model, trial = copy.deepcopy(setting.original), setting.trial([11], stacked=False)
    redraw(model, ["layer3", "fc"], trial, statistics=statistics)
    new, buffers = {"layer3", "fc"}, {name for name, _ in model.named_buffers()}
    unlike_fresh, unlike_original = (_differing(model, other) for other in (trial.fresh_model().double(), setting.original))
    assert _parts(unlike_original) == new
    assert all(not name.startswith(("layer3", "fc")) or (not statistics and name in buffers) for name in unlike_fresh)
    assert statistics == bool(buffers & unlike_original)


def test_eu_k_leaves_frozen_blocks(setting) -> None:
    assert _parts(_differing(setting.run_alone(EuK(k=1, epochs=1.0), 11), setting.original)) == {"layer3", "fc"}


def test_rate_of_eu_k_falls_after_the_published_epochs() -> None:
    rate = EuK(learning_rate=0.01).rate()
    assert [rate(epoch) for epoch in (0, 10.9, 11, 16, 21)] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4, 1e-5])


def test_l1_penalty_falls_to_nothing(regression) -> None:
    method = L1Sparse(epochs=10.0)
    assert [method.penalty_at(epoch) for epoch in (0, 0.9, 4, 9)] == pytest.approx([5e-4, 5e-4, 3e-4, 5e-5])
    ending = L1Sparse(epochs=10.0, no_penalty_epochs=5)
    assert [ending.penalty_at(epoch) for epoch in (0, 4, 5, 9)] == pytest.approx([5e-4, 1e-4, 0, 0])
    assert L1Sparse(epochs=1.0, no_penalty_epochs=2).penalty_at(0) == 0
    size = sums(regression.model(), (p.detach().abs() for p in regression.model().parameters()))
    assert size.tolist() == pytest.approx([2.85])


def test_a_step_of_l1_sparse(regression) -> None:
    """Every weight moves by the rate times its gradient, its sign times the penalty, and its decay."""
    model, (inputs, labels) = regression.model(), regression.columns["retain"]
    cross_entropy(model(inputs), labels).backward()
    slopes = [p.grad + 0.1 * p.sign() + 5e-4 * p for p in model.parameters()]
    expected = [float(x) for p, slope in zip(model.parameters(), slopes, strict=True) for x in (p - 0.01 * slope).flatten()]
    assert regression.run(L1Sparse(epochs=1.0, penalty=0.1, batch_size=4)) == pytest.approx(expected, abs=1e-12)
