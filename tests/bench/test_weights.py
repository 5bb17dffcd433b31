"""Weight views: each row belongs to one model."""

import pytest
import torch

from bench.errors import BenchError
from bench.losses import cross_entropy, step
from bench.models.build import initialised
from bench.models.stacked import stack
from bench.weights import (
    assign,
    choose,
    clip,
    first_convolution,
    flat,
    frozen,
    gradient,
    gradients,
    parameters,
    restore,
    smallest,
    snapshot,
    state,
    std,
    sums,
    unflatten,
    weights,
)  # fmt: skip

MODELS = 3


def _stack(count: int = MODELS):
    return stack([initialised("resnet8-v1", 10, seed).double() for seed in range(count)])


def _loss(net):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return cross_entropy(net(images), torch.arange(4))


def test_views_alias_the_network() -> None:
    net = _stack()
    weights(net)["fc.weight"][1].zero_()
    assert net.fc.weight[10:20].abs().sum() == 0
    assert net.fc.weight[:10].abs().sum() > 0


def test_weights_leave_normalisation_and_biases_out() -> None:
    names = set(weights(_stack()))
    assert {"conv1.weight", "fc.weight", "layer2.shortcut.0.weight"} <= names
    assert not any("bn" in name or name.endswith("bias") for name in names)


def test_state_has_running_statistics_but_no_counters() -> None:
    names = set(state(_stack()))
    assert "bn1.running_var" in names
    assert not any("num_batches" in name for name in names)


def test_frozen_parameters_are_in_the_state_alone() -> None:
    net = _stack()
    net.conv1.requires_grad_(False)
    for views in (parameters(net), weights(net), gradient(net, _loss(net))):
        assert "conv1.weight" not in views
        assert "layer1.conv1.weight" in views
    assert "conv1.weight" in state(net)
    assert first_convolution(net) == "layer1.conv1"
    with pytest.raises(BenchError, match="no convolution that is not frozen"):
        first_convolution(net.requires_grad_(False))


def test_unflat_inverts_flat() -> None:
    views = parameters(_stack())
    for name, view in unflatten(flat(views), views).items():
        assert torch.equal(view, views[name])


def test_a_table_is_assigned_in_place() -> None:
    net = _stack()
    table = flat(parameters(net))
    assign(parameters(net), 2 * table)
    assert torch.equal(flat(parameters(net)), 2 * table)


def test_sums_are_each_models_own_and_can_be_differentiated() -> None:
    net = _stack()
    total = sums(net, (parameter.abs() for parameter in net.parameters()))
    torch.testing.assert_close(total.detach(), flat(parameters(net)).abs().sum(1))
    total[1].backward()
    assert torch.equal(
        gradients(net)["fc.weight"].sign(), parameters(net)["fc.weight"].sign() * torch.tensor([0, 1, 0]).view(-1, 1, 1)
    )


def test_std_is_each_models_own() -> None:
    view = weights(_stack())["fc.weight"]
    torch.testing.assert_close(std(view).flatten(), torch.stack([row.std() for row in view]))


def test_smallest_per_model_and_exact_in_count_with_ties() -> None:
    values = torch.tensor([[3.0, 1.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
    mask = smallest(values, 0.5)
    assert mask[0].tolist() == [False, True, False, True]
    assert mask.sum(1).tolist() == [2, 2]
    assert not smallest(values, 0.0).any()


def test_choose_takes_each_model_from_its_own_snapshot() -> None:
    net = _stack(2)
    early = snapshot(net)
    for view in state(net).values():
        view.add_(1.0)
    late = snapshot(net)
    choose(net, [early, late], torch.tensor([1, 0]))
    for name, view in state(net).items():
        assert torch.equal(view[0], late[name][0])
        assert torch.equal(view[1], early[name][1])


def test_clip_equals_torchs_clipping_of_each_model_alone() -> None:
    stacked = _stack()
    _loss(stacked).sum().backward()
    clip(stacked, 0.5)
    for m in range(MODELS):
        alone = initialised("resnet8-v1", 10, m).double()
        _loss(alone).backward()
        torch.nn.utils.clip_grad_norm_(alone.parameters(), 0.5)
        for name, view in gradients(alone).items():
            torch.testing.assert_close(gradients(stacked)[name][m], view[0], rtol=0, atol=1e-12)


def test_gradient_is_each_models_own_and_leaves_grad_alone() -> None:
    stacked = _stack(2)
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    logits = stacked(images)
    found = [gradient(stacked, logits.square().mean((-2, -1)), again=again) for again in (True, False)]
    assert gradients(stacked) == {}
    for m in range(2):
        alone = initialised("resnet8-v1", 10, m).double()
        alone(images).square().mean().backward()
        for name, view in gradients(alone).items():
            assert torch.equal(found[0][name], found[1][name])
            torch.testing.assert_close(found[0][name][m], view[0], rtol=0, atol=1e-12)


def test_gradient_is_zero_where_a_loss_does_not_depend_on_a_parameter() -> None:
    net = torch.nn.Linear(2, 3)
    assert gradient(net, net.weight.sum()[None])["bias"].tolist() == [[0.0, 0.0, 0.0]]


def test_frozen_entries_stay_whatever_momentum_and_decay_do() -> None:
    net = _stack(2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    step(optimizer, _loss(net))
    masks = {name: smallest(view.abs(), 0.5) for name, view in parameters(net).items()}
    before = snapshot(net)
    handle = frozen(optimizer, net, masks)
    step(optimizer, _loss(net))
    for name, view in parameters(net).items():
        assert torch.equal(view[masks[name]], before[name][masks[name]])
    assert any((view != before[name]).any() for name, view in parameters(net).items())
    handle.remove()
    step(optimizer, _loss(net))
    assert any((view[masks[name]] != before[name][masks[name]]).any() for name, view in parameters(net).items())


def test_restore_gives_a_snapshot_back() -> None:
    net = _stack()
    taken = snapshot(net)
    for view in state(net).values():
        view.add_(1.0)
    restore(net, taken)
    assert all(torch.equal(view, taken[name]) for name, view in state(net).items())
