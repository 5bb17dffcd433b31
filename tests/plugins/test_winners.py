"""Winners of the challenge: numbers that were computed elsewhere, and what each leaves alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from bench_plugins import finetune, forget
from bench_plugins.amnesiacs import Amnesiacs
from bench_plugins.fanchuan import Fanchuan, contrast, unevenness
from bench_plugins.forget import Forget
from bench_plugins.kookmin import Kookmin, difference
from bench_plugins.random_mask import RandomMask
from bench_plugins.redrawing import least, redrawable, reset
from bench_plugins.sebastian import Sebastian, halve, layers, prune, rarity, redraw, surely
from bench_plugins.seif import Seif, shake_first, weighted
from bench_plugins.sun import Sun, choosable
from bench_plugins.toshi_marvel import ToshiMarvel
from bench_plugins.training import constant, tent, train_on
from torch import Tensor, nn
from torch.optim import SGD

from bench import Method
from bench.registry import specs


def test_fanchuan_has_the_numbers_of_its_losses(regression) -> None:
    model, data = regression.model(), regression.data()
    forget, retain = model(data.forget.images), model(data.retain.images)
    assert unevenness(forget).item() == pytest.approx(0.0675939263, abs=1e-10)
    assert contrast(forget, retain, 1.15).item() == pytest.approx(1.4246076568, abs=1e-10)


def test_kookmin_redraws_where_the_difference_of_gradients_is_small(regression) -> None:
    data = regression.data()
    found = difference(regression.model(), data.retain, data.forget)["weight"]
    sizes = [0.0276278373, 0.2620736354, 0.2282007137, 0.0355106588, 0.2558285510, 0.2975842942]
    assert found.abs().flatten().tolist() == pytest.approx(sizes, abs=1e-10)
    assert least(torch.tensor([sizes]), 0.3).flatten().tolist() == [True, False, False, True, False, False]


@pytest.mark.parametrize(
    ("epochs", "factors"), [(5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]), (4, [0.5, 1, 2 / 3, 1 / 3]), (3, [0.5, 1, 0.5]), (1, [1])]
)
def test_kookmin_warms_up_and_cools_down(epochs: int, factors: list[float]) -> None:
    assert [tent(1.0, epochs)(epoch) for epoch in range(epochs)] == pytest.approx(factors)


def test_kookmin_redraws_a_share_of_every_convolution_and_slows_the_rest(setting) -> None:
    model = copy.deepcopy(setting.original)
    factors = Kookmin(share=0.3, slowdown=0.2).redraw(
        model, setting.data([11], stacked=False), setting.trial([11], stacked=False)
    )
    before, after = setting.original.state_dict(), model.state_dict()
    moved = {
        name for name in before if not torch.equal(before[name], after[name]) and "running" not in name and "num" not in name
    }
    assert moved == set(factors)
    for name, each in factors.items():
        assert torch.equal(each[0] == 1.0, before[name] != after[name])
        assert int((each == 1.0).sum()) == round(0.3 * each.numel())
        assert set(each.unique().tolist()) == {0.2, 1.0}


def test_kookmin_draws_biases_of_convolutions_anew_as_torch_does(setting) -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 5, bias=True), nn.Conv2d(64, 4, 28), nn.Flatten()).double()
    before = [layer.bias.detach().clone() for layer in (model[0], model[1])]
    method, data, trial = Kookmin(share=0.3), setting.data([11], stacked=False), setting.trial([11], stacked=False)
    factors = method.redraw(model, data, trial)
    assert set(factors) == {"0.weight", "1.weight"}
    for layer, old in zip((model[0], model[1]), before, strict=True):
        assert not (layer.bias == old).any()
        assert 0 < float(layer.bias.detach().abs().max()) <= layer.weight[0].numel() ** -0.5


def test_kookmin_counts_the_gradients_that_it_chooses_by() -> None:
    assert [Kookmin().within(share).epochs for share in (0.05, 0.2, 1.0)] == pytest.approx([8 / 19, 2.0, 198 / 19])
    with pytest.raises(ValueError, match="what it always does takes about 1 % of a retraining"):
        Kookmin().within(0.01)


def test_seif_weighs_a_batch_and_not_its_examples(regression) -> None:
    retain = regression.data().retain
    loss = weighted(regression.model()(retain.images), retain.labels, 0, 0.05)
    assert loss.item() == pytest.approx(0.2817356817, abs=1e-10)


def test_seif_shakes_the_first_convolution_only_and_by_as_much_whatever_its_weights(setting) -> None:
    model = copy.deepcopy(setting.original)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shake_first(model, 0.6, setting.trial([11], stacked=False))
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"conv1.weight"}
    assert float((model.conv1.weight - before["conv1.weight"]).detach().std()) == pytest.approx(0.6, rel=0.05)


def test_amnesiacs_counts_the_original_twice_and_leaves_the_square_of_the_temperature_out(regression) -> None:
    retain = regression.data().retain
    teacher, student = regression.model()(retain.images), regression.model(0.9)(retain.images)
    method = Amnesiacs()
    assert method.divergence(student, retain.labels, teacher).item() == pytest.approx(0.0000477716, abs=1e-10)
    assert method.loss(student, retain.labels, teacher).item() == pytest.approx(2.0817565623, abs=1e-10)


def test_amnesiacs_draws_the_ends_anew_as_torch_does(setting) -> None:
    model = copy.deepcopy(setting.original)
    reset(model, ["conv1", "fc"], setting.trial([11], stacked=False))
    before = setting.original.state_dict()
    assert {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])} == {"conv1.weight", "fc.weight", "fc.bias"}
    for tensor, inputs in ((model.conv1.weight, 75), (model.fc.weight, 64), (model.fc.bias, 64)):
        assert 0.4 / inputs**0.5 < float(tensor.detach().abs().max()) <= 1 / inputs**0.5


def test_sun_shakes_only_what_no_earlier_stage_chose(setting) -> None:
    model, trial = copy.deepcopy(setting.original), setting.trial([11], stacked=False)
    names, method = choosable(model), Sun(chosen=0.5, shaken=1.0, noise=1.0)
    assert len(names) == 11
    seen, shaken = torch.zeros(1, 11, dtype=torch.bool), []
    for _ in range(4):
        before, earlier = copy.deepcopy(model.state_dict()), seen.clone()
        method.choose(model, SGD(model.parameters(), 0.1), seen, trial)
        moved = torch.tensor([[not torch.equal(before[name], model.state_dict()[name]) for name in names]])
        assert not (moved & earlier).any()
        assert not moved.any() if not earlier.any() else torch.equal(moved, seen & ~earlier)
        shaken.append(moved)
    assert torch.stack(shaken).any()


def test_sun_may_go_by_names(setting, distance) -> None:
    """Batch normalisation of shortcuts is not called so: it stands still where it is not chosen."""
    model = copy.deepcopy(setting.original)
    more = set(choosable(model, by_name=True)) - set(choosable(model))
    assert more == {name for name, _ in model.named_parameters() if "shortcut.1" in name}
    method = Sun(stage=1.0, chosen=0.0, names=True)
    one, other = setting.run_alone(method, 11), setting.run_alone(replace(method, names=False), 11)
    assert distance(one, other) > 0
    assert distance(setting.run_stacked(method, [11, 22])[0], one) < 1e-9


def test_sun_holds_what_it_did_not_choose_and_nothing_of_batch_normalisation(setting) -> None:
    model, trial, data = copy.deepcopy(setting.original), setting.trial([11], stacked=False), setting.data([11], stacked=False)
    optimizer, chosen = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1), torch.zeros(1, 11, dtype=torch.bool)
    Sun(chosen=0.5).choose(model, optimizer, chosen, trial)
    train_on(model, data.retain, epochs=2, batch_size=20, optimizer=optimizer, rate=constant(0.1))
    held = {name for name, one in zip(choosable(model), chosen[0].tolist(), strict=True) if not one}
    assert len(held) == 5
    start = dict(setting.original.named_parameters())
    assert {name for name, value in model.named_parameters() if torch.equal(value, start[name])} == held


@pytest.fixture
def untrained(setting, monkeypatch):
    """What a method that fine-tunes hands to its training."""

    monkeypatch.setattr(finetune, "train_on", lambda *_, **__: None)

    def found(method: Method) -> dict[str, Tensor]:
        model = copy.deepcopy(setting.original)
        return method.unlearn(model, setting.data([11], stacked=False), setting.trial([11], stacked=False)).state_dict()

    return found


def test_toshi_marvel_transposes_every_kernel_before_it_trains(setting, untrained) -> None:
    state = untrained(ToshiMarvel())
    for name, before in setting.original.state_dict().items():
        assert torch.equal(state[name], before.transpose(2, 3) if before.dim() == 4 else before)
    assert not torch.equal(state["conv1.weight"], setting.original.conv1.weight)


def test_random_mask_sets_a_share_of_each_layers_weights_to_zero_before_it_trains(setting, untrained) -> None:
    state = untrained(RandomMask(share=0.3))
    for name, before in setting.original.state_dict().items():
        moved = state[name] != before
        assert int(moved.sum()) == (int(0.3 * before.numel()) if before.dim() > 1 else 0)
        assert not state[name][moved].any()


def test_sebastian_has_the_number_of_its_loss(regression) -> None:
    retain = regression.data().retain
    teacher, student = regression.model()(retain.images), regression.model(0.9)(retain.images)
    assert surely(student, retain.labels, teacher, rarity(retain, 3)).item() == pytest.approx(0.9918093752, abs=1e-10)


def test_sebastian_prunes_all_layers_together_and_draws_weights_anew_but_not_biases(setting) -> None:
    model = copy.deepcopy(setting.original)
    original = torch.cat([view.flatten() for view in layers(setting.original).values()])
    prune(model, 0.99)
    pruned = torch.cat([view.flatten() for view in layers(model).values()])
    gone = pruned == 0
    assert int(gone.sum()) == round(0.99 * len(gone))
    assert original[gone].abs().max() <= original[~gone].abs().min()
    model.fc.bias.data[:2] = 0
    redraw(model, setting.trial([11], stacked=False))
    views = layers(model)
    drawn = torch.cat([view.flatten() for view in views.values()])
    assert torch.equal(drawn[~gone][:100], original[~gone][:100])
    assert not model.fc.bias[:2].any()
    weights = [view for name, view in views.items() if name != "fc.bias"]
    assert all(view.all() for view in weights)
    assert all(float(view.abs().max()) <= max(view[0, 0].numel() ** -0.5, float(original.abs().max())) for view in weights)


def test_sebastian_ends_in_half_precision(setting) -> None:
    model = setting.run_alone(Sebastian(), 11)
    assert all(torch.equal(value, value.half().to(value.dtype)) for value in model.state_dict().values() if value.dim())


def test_sebastian_rounds_nothing_but_what_training_moves(setting) -> None:
    """Fixed numbers of a network stay, 1/255 say, which half precision does not have."""
    model = copy.deepcopy(setting.original)
    model.normalise.std.fill_(1 / 255)
    model.fc.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    halve(model)
    unmoved = {name for name, value in model.state_dict().items() if value.dim() and value.equal(before[name])}
    assert unmoved == {"normalise.mean", "normalise.std", "fc.weight", "fc.bias"}


def test_forget_goes_through_three_cycles_and_four_by_turns() -> None:
    assert [Forget().variant(index).cycles for index in range(4)] == ["three", "four", "three", "four"]
    assert Forget(cycles="four").variant(0) == Forget(cycles="four")


@pytest.mark.parametrize(
    ("index", "cycles"),
    [(0, [(1, 0.01, 0.1), (2, 0.01, 0.1), (2, 0.01, 0.1)]), (1, [(2, 0.005, 0.01), *[(1, 0.01, 0.01)] * 3])],
)
def test_forget_has_epochs_rates_and_noise_of_its_half(setting, monkeypatch, index: int, cycles: list) -> None:
    seen: list[tuple[float, ...]] = []
    monkeypatch.setattr(Forget, "remember", lambda *args: seen.append(args[3:6]))
    Forget().variant(index).unlearn(
        copy.deepcopy(setting.original), setting.data([11], stacked=False), setting.trial([11], stacked=False)
    )
    assert seen == [pytest.approx(cycle) for cycle in cycles]


def test_forget_draws_more_layers_anew_from_cycle_to_cycle(setting, monkeypatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(forget, "redraw_some", lambda views, count, trial: seen.append(count))
    setting.run_alone(Forget(cycles="four", pace=0.1), 11)
    assert seen == [6, 7, 8, 9]


def test_forget_never_draws_the_last_layer_or_projections_anew(setting) -> None:
    model = copy.deepcopy(setting.original)
    for view in redrawable(model):
        view.zero_()
    zeros = {name for name, value in model.named_parameters() if not value.any()}
    assert zeros == {"conv1.weight", *(f"layer{i}.conv{j}.weight" for i in (1, 2, 3) for j in (1, 2))}


@pytest.mark.parametrize("kind", [Amnesiacs, Fanchuan, Forget, Kookmin, RandomMask, Sebastian, Seif, Sun, ToshiMarvel])
def test_settings_by_name_are_of_hyper_parameters_that_exist(kind: type[Method]) -> None:
    for name in kind.presets:
        made = specs.configure(kind, specs.parse(f"method[preset={name}]"), 0.2)
        assert made == replace(kind(), **kind.presets[name]) != kind()


def test_fanchuan_does_whole_rounds() -> None:
    assert [Fanchuan().within(share).rounds for share in (0.1, 0.2, 0.35, 0.8)] == [1, 2, 3, 8]
    with pytest.raises(ValueError, match="rounds must be 1 or more, which takes about 10 % of a retraining"):
        Fanchuan().within(0.09)


def test_forget_needs_a_convolution_that_sees_more_than_one_pixel() -> None:
    with pytest.raises(ValueError, match="single pixels"):
        redrawable(nn.Conv2d(3, 4, 1))
