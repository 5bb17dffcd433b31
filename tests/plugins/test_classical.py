"""What classical baselines promise, and numbers that were computed elsewhere."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from bench_plugins.advanced_neggrad import AdvancedNegGrad, apart
from bench_plugins.bad_teacher import BadTeacher
from bench_plugins.cf_k import CfK
from bench_plugins.eu_k import EuK, redraw
from bench_plugins.l1_sparse import L1Sparse
from bench_plugins.random_label import RandomLabel, wrong_labels
from bench_plugins.salun import SalUn, salient
from torch import Tensor, nn

from bench import BenchError
from bench.losses import cross_entropy, kl_divergence
from bench.models.build import Blueprint, build
from bench.models.stacked import stack
from bench.registry import specs
from bench.weights import only, sums


def _differing(model, other) -> set[str]:
    """Names of tensors, of parameters and buffers, that are not equal bit for bit."""
    pairs = zip(model.state_dict().items(), other.state_dict().values(), strict=True)
    return {name for (name, mine), theirs in pairs if not torch.equal(mine, theirs)}


def _parts(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("k", "head", "parts"), [(1, True, ["layer4", "fc"]), (0, True, ["fc"]), (2, False, ["layer3", "layer4"])]
)
def test_the_last_parts_of_a_network(k: int, head: bool, parts: list[str]) -> None:
    assert CfK(k=k, head=head).parts(build("resnet18-v1", 10)) == parts


class Wrapped(nn.Module):
    """A network in one attribute."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


@pytest.mark.parametrize("method", [CfK(k=1, epochs=1.0), EuK(k=1, epochs=1.0)])
def test_blocks_of_a_wrapped_network(setting, method: CfK) -> None:
    wrapped, trial = replace(setting, original=Wrapped(setting.original)), setting.trial([11], stacked=False)
    made_by = Blueprint(lambda: Wrapped(build("resnet8-v1", 4)))
    model = method.unlearn(copy.deepcopy(wrapped.original), setting.data([11], stacked=False), replace(trial, blueprint=made_by))
    changed = {name.removeprefix("net.") for name in _differing(model, wrapped.original)}
    assert _parts(changed) == {"layer3", "fc"}


METHODS = {
    "advanced-neggrad": AdvancedNegGrad,
    "bad-teacher": BadTeacher,
    "cf-k": CfK,
    "eu-k": EuK,
    "l1-sparse": L1Sparse,
    "random-label": RandomLabel,
    "salun": SalUn,
}


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name, kind in METHODS.items() for preset in kind.presets])
def test_published_settings_are_settings(name: str, preset: str) -> None:
    """And no budget changes them."""
    spec = specs.parse(f"{name}[preset={preset}]")
    method = specs.configure(METHODS[name], spec, 0.1)
    assert {field: getattr(method, field) for field in METHODS[name].presets[preset]} == METHODS[name].presets[preset]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_epochs_follow_the_budget(name: str, share: float) -> None:
    method = METHODS[name]()
    fixed = method.fixed_share
    left = (share - fixed) / (0.2 - fixed)
    assert method.within(share) == replace(method, epochs=pytest.approx(left * method.epochs))


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
    unlike_fresh, unlike_original = (_differing(model, other) for other in (trial.fresh_model(), setting.original))
    assert _parts(unlike_original) == new
    assert all(not name.startswith(("layer3", "fc")) or (not statistics and name in buffers) for name in unlike_fresh)
    assert statistics == bool(buffers & unlike_original)


def test_eu_k_leaves_frozen_blocks(setting) -> None:
    assert _parts(_differing(setting.run_alone(EuK(k=1, epochs=1.0), 11), setting.original)) == {"layer3", "fc"}


def test_rate_of_eu_k_falls_after_the_published_epochs() -> None:
    rate = EuK(learning_rate=0.01).rate()
    assert [rate(epoch) for epoch in (0, 10.9, 11, 16, 21)] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4, 1e-5])


def test_l1_penalty_falls_to_nothing(regression) -> None:
    method = L1Sparse(epochs=10.0, penalty=5e-4)
    assert [method.penalty_at(epoch) for epoch in (0, 0.9, 4, 9)] == pytest.approx([5e-4, 5e-4, 3e-4, 5e-5])
    ending = L1Sparse(epochs=10.0, penalty=5e-4, no_penalty_epochs=5)
    assert [ending.penalty_at(epoch) for epoch in (0, 4, 5, 9)] == pytest.approx([5e-4, 1e-4, 0, 0])
    assert L1Sparse(epochs=1.0, no_penalty_epochs=2).penalty_at(0) == 0
    size = sums(regression.model(), (p.detach().abs() for p in regression.model().parameters()))
    assert size.tolist() == pytest.approx([2.85])


def test_a_step_of_l1_sparse(regression) -> None:
    """Every weight moves by the rate times its gradient, its sign times the penalty, and its decay."""
    model, (inputs, labels) = regression.model(), regression.columns["retain"]
    cross_entropy(model(inputs), labels).backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight.sub_(0.01 * (weight.grad + 0.1 * weight.sign() + 5e-4 * weight))
    assert regression.run(L1Sparse(epochs=1.0, penalty=0.1, learning_rate=1e-2, batch_size=4)) == pytest.approx(
        regression.theta(model), abs=1e-12
    )


RELABELLED = (0.3326286518, -0.2921468778, -0.0762807219, 0.1569744434, -0.2563479299, 0.1351724344)
RELABELLED_BIASES = (-0.7641020062, 0.3251913407, 0.4389106655)


def test_a_step_on_random_labels(regression) -> None:
    """With one class to draw from, all labels are 0."""
    trial, model = replace(regression.trial(), classes=1), regression.model()
    (images, labels), *_ = RandomLabel(epochs=1.0, batch_size=4).interleaved(regression.data(), trial)
    assert not labels.any()
    cross_entropy(model(images), labels).backward()
    found = [*model.weight.grad.flatten().tolist(), *model.bias.grad.tolist()]
    assert found == pytest.approx([*RELABELLED, *RELABELLED_BIASES], abs=1e-9)


def test_labels_of_every_batch_are_drawn_anew(setting) -> None:
    data, trial = setting.data([1, 2], stacked=True), setting.trial([1, 2], stacked=True)
    batches = list(RandomLabel(epochs=3.0, batch_size=16).interleaved(data, trial))
    assert [len(images[0]) for images, _ in batches] == [16, 16, 16, 16] * 3
    drawn = [labels for _, labels in batches[::4]]
    assert all(labels.shape == (2, 16) for labels in drawn)
    assert not any(torch.equal(one, other) for one, other in pairwise(drawn))
    assert not torch.equal(drawn[0][0], drawn[0][1])


@pytest.mark.parametrize("scheme", ["concatenated", "distinct"])
def test_labels_of_an_epoch(setting, scheme: str) -> None:
    """Examples of forget among those of retain: other labels in each epoch, or the same, of which none is true."""
    data, trial = setting.data([1], stacked=False), setting.trial([1], stacked=False)
    forget, truth = setting.columns["forget"]
    drawn = []
    for images, labels in RandomLabel(scheme=scheme, epochs=3.0, batch_size=64).mixed(data, trial):
        assert len(labels) == len(data.retain) + len(data.forget)
        where = (images[:, None] == forget).flatten(2).all(2)
        drawn.append(labels[where.any(1)][where.nonzero()[:, 1].argsort()])
    assert len(drawn) == 3
    assert all(torch.equal(one, other) == (scheme == "distinct") for one, other in pairwise(drawn))
    assert scheme != "distinct" or not (drawn[0] == truth).any()


def test_wrong_labels_are_all_the_others(setting) -> None:
    data, trial = setting.data([1, 2], stacked=True), setting.trial([1, 2], stacked=True)
    shifts = torch.cat([(wrong_labels(data.forget, trial) - data.forget.labels) % 4 for _ in range(10)])
    assert shifts.unique().tolist() == [1, 2, 3]


@pytest.mark.parametrize("scheme", ["concatenated", "distinct"])
def test_schemes_alone_and_in_a_stack(setting, distance, scheme: str) -> None:
    method = RandomLabel(scheme=scheme, epochs=1.5, batch_size=20, optimizer="adam", learning_rate=1e-3)
    alone, together = setting.run_alone(method, 22), setting.run_stacked(method, [11, 22])
    assert distance(alone, together[1]) < 1e-9
    assert distance(alone, together[0]) > 1e-6


def test_salient_weights(regression) -> None:
    chosen = salient(regression.model(), regression.data().forget, 0.5, 2)
    flags = torch.cat([mask.flatten() for mask in chosen.values()])
    assert flags.nonzero().flatten().tolist() == [2, 3, 4, 6]


def test_salun_moves_salient_weights_only(setting) -> None:
    method = SalUn(epochs=1.0, learning_rate=0.1, batch_size=6, share=0.3, weight_decay=0.1)
    chosen = salient(copy.deepcopy(setting.original), setting.data([11], stacked=False).forget, 0.3, 6)
    model = setting.run_alone(method, 11)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert sum(int(mask.sum()) for mask in chosen.values()) == int(0.3 * count)
    originals = dict(setting.original.named_parameters())
    for name, parameter in model.named_parameters():
        moved = parameter != originals[name]
        assert not (moved & ~chosen[name][0]).any()
        assert not chosen[name].any() or moved.any()
    assert not torch.equal(model.bn1.running_mean, setting.original.bn1.running_mean)


def test_a_step_of_advanced_neggrad(regression) -> None:
    model = regression.model()
    (*retain,), (*forget,) = regression.columns["retain"], regression.columns["forget"]
    apart(model, torch.optim.SGD(model.parameters(), 1e-3), retain, forget)
    weights = [0.4999723722, -0.2997379264, 0.0997717993, 0.8000355107, -0.5997441714, 0.1997024157]
    assert regression.theta(model) == pytest.approx([*weights, 0.10008359, -0.2000137876, 0.0499301976], abs=1e-9)


def test_advanced_neggrad_leaves_statistics(setting) -> None:
    model = setting.run_alone(AdvancedNegGrad(epochs=1.0, learning_rate=1e-2), 11)
    changed = _differing(model, setting.original)
    assert changed == {name for name, _ in model.named_parameters()}
    assert all(module.training for module in model.modules())


def test_pairs_are_of_equal_size_and_forget_begins_again(setting) -> None:
    """Batches of 7, of 48 examples and of 16: the third of forget has 2, and no partner."""
    data = setting.data([1, 2], stacked=True)
    pairs = list(AdvancedNegGrad(epochs=1.0, batch_size=7).pairs(data))
    assert [len(retain[1][0]) for retain, _ in pairs] == [7, 7, 7, 7]
    assert all(retain[0].shape == forget[0].shape for retain, forget in pairs)
    assert len(list(AdvancedNegGrad(epochs=2.0, batch_size=64).pairs(data))) == 6  # no larger than forget: of 16


def test_divergence_from_the_good_teacher(regression) -> None:
    inputs = regression.columns["retain"][0]
    teacher, student = regression.model()(inputs), regression.model(0.9)(inputs)
    loss = BadTeacher().loss(teacher, student)
    assert loss.detach().item() == pytest.approx(0.0009534776, abs=1e-9)
    assert torch.equal(loss, kl_divergence(teacher, student))
    assert BadTeacher(published_scale=True).loss(teacher, student).detach().item() == pytest.approx(0.0003178259, abs=1e-9)


@pytest.mark.parametrize("stacked", [False, True])
def test_forget_is_taught_by_the_random_network(setting, stacked: bool) -> None:
    seeds = [1, 2] if stacked else [1]
    data, trial = setting.data(seeds, stacked=stacked), setting.trial(seeds, stacked=stacked)
    fresh = [setting.trial([seed], stacked=False).fresh_model().eval() for seed in seeds]
    model = copy.deepcopy(setting.original) if not stacked else stack([setting.original] * 2)
    taught = BadTeacher(retain_share=0.5).taught(model, data, trial)
    images, _, targets = next(taught.batches(len(taught), shuffle=False))
    assert len(taught) == 24 + 16
    for m, (seen, logits) in enumerate(zip(images, targets, strict=True) if stacked else [(images, targets)]):
        assert torch.equal(seen[24:], setting.columns["forget"][0])
        with torch.no_grad():
            torch.testing.assert_close(logits[24:], fresh[m](seen[24:]))
            torch.testing.assert_close(logits[:24], copy.deepcopy(setting.original).eval()(seen[:24]))


def test_teachers_stay_as_they_are(setting) -> None:
    before = copy.deepcopy(setting.original)
    setting.run_alone(BadTeacher(learning_rate=1e-2), 11)
    assert not _differing(setting.original, before)
