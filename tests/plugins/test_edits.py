"""Methods that edit weights, on numbers that were computed elsewhere, and what they leave alone."""

from __future__ import annotations

import copy

import pytest
import torch
from bench_plugins.boundary_expand import BoundaryExpand, grow
from bench_plugins.boundary_shrink import BoundaryShrink, across
from bench_plugins.delete import Delete, divergence, without_true_class
from bench_plugins.fisher import Fisher, fisher_information
from bench_plugins.influence import Influence, mean_gradient, times_inverse
from bench_plugins.ssd import Ssd
from bench_plugins.unsir import Unsir, impairment, nearness

from bench.losses import cross_entropy
from bench.models.stacked import size, stack
from bench.weights import flat, parameters


def test_ssd_gives_the_numbers_computed_elsewhere(regression) -> None:
    expected = "0.1319910336 -0.057649134 0.0009381744 0.8 -0.0270030155 0.2 0.029167081 -0.0897601649 0.0014190516"
    assert regression.run(Ssd(alpha=1.0, dampening=0.5)) == pytest.approx(_numbers(expected), abs=1e-9)


def test_ssd_of_single_examples_gives_the_numbers_computed_elsewhere(regression) -> None:
    expected = [0.5, -0.3, 0.1, 0.8, -0.1740082661, 0.2, 0.1, -0.2, 0.05]
    assert regression.run(Ssd(alpha=1.0, dampening=0.5, kind="per_example")) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", ["batches", "per_example", "lfssd"])
def test_ssd_dampens_where_the_rule_says_and_nowhere_else(setting, kind: str) -> None:
    method = Ssd(alpha=1.5, dampening=0.5, batch_size=64, kind=kind)
    model, data = copy.deepcopy(setting.original).eval(), setting.data([11], stacked=False)
    overall, forget = method.importance(model, data.retain.joined(data.forget)), method.importance(model, data.forget)
    before, after = flat(parameters(model)), flat(parameters(setting.run_alone(method, 11)))
    chosen = forget > 1.5 * overall
    assert 0.01 < chosen.double().mean() < 0.99
    assert torch.equal(after[~chosen], before[~chosen])
    torch.testing.assert_close(after[chosen], (before * 0.5 * overall / forget)[chosen])


@pytest.mark.parametrize("kind", ["batches", "per_example", "lfssd"])
def test_ssd_leaves_statistics_alone(setting, kind: str) -> None:
    done = setting.run_alone(Ssd(alpha=1.5, kind=kind), 11)
    assert done.training
    for found, kept in zip(done.buffers(), setting.original.buffers(), strict=True):
        assert torch.equal(found, kept)


@pytest.mark.parametrize("kind", ["per_example", "lfssd"])
def test_variants_of_ssd_stack(setting, distance, kind: str) -> None:
    method = Ssd(alpha=1.5, kind=kind, batch_size=20)
    together = setting.run_stacked(method, [11, 22])
    assert max(distance(model, setting.run_alone(method, seed)) for model, seed in zip(together, (11, 22), strict=True)) < 1e-9


def test_ssd_of_single_examples_is_deterministic(setting, distance) -> None:
    method = Ssd(alpha=1.5, kind="per_example")
    assert distance(setting.run_alone(method, 11), setting.run_alone(method, 22)) == 0


def test_ssd_needs_its_passes() -> None:
    with pytest.raises(ValueError, match="about 12 % of a retraining"):
        Ssd().within(0.1)


def test_delete_scales_its_epochs() -> None:
    assert [Delete(epochs=10.0).within(share).epochs for share in (0.1, 0.2, 1.0)] == [5.0, 10.0, 50.0]


def test_delete_gives_the_numbers_computed_elsewhere(regression) -> None:
    images, labels = regression.columns["forget"]
    with torch.no_grad():
        target = without_true_class(regression.model()(images), labels)
        loss = divergence(target, regression.model(0.9)(images))
    expected = [[0.4800106598, 0.0, 0.5199893402], [0.4476920904, 0.5523079096, 0.0]]
    torch.testing.assert_close(target, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0)
    assert float(loss) == pytest.approx(0.6570386338, abs=1e-9)


def test_fisher_gives_the_numbers_computed_elsewhere(regression) -> None:
    model = regression.model()
    information = fisher_information(model, regression.data().retain.batches(1))
    assert information[0].tolist() == pytest.approx(
        _numbers(
            "0.1088391353 0.1635635173 0.1104286635 0.1395587560 0.0765712429 0.1501838891 0.2118882416 0.2064671102 0.1836990128"
        ),
        abs=1e-9,
    )
    variances = Fisher(alpha=1e-6).variances(model, information)
    rows = [7.65085e-5, 8.11053e-5, 9.85912e-5]
    assert variances["weight"][0].T.tolist() == [pytest.approx(rows, rel=1e-5)] * 2
    assert variances["bias"][0].tolist() == pytest.approx([4.71947e-5, 4.84339e-5, 5.44369e-5], rel=1e-5)


def test_fisher_of_batches_takes_the_gradient_of_their_mean(regression) -> None:
    model = regression.model()
    images, _ = regression.columns["retain"]
    expected = torch.zeros(9, dtype=torch.float64)
    for rows in ([0, 1], [2, 3]):
        shares = model(images[rows]).softmax(1).mean(0).tolist()
        for label, share in enumerate(shares):
            model.zero_grad()
            torch.nn.functional.cross_entropy(model(images[rows]), torch.full((2,), label)).backward()
            expected += share / 2 * torch.cat([model.weight.grad.flatten(), model.bias.grad]) ** 2
    found = fisher_information(regression.model(), regression.data().retain.batches(2, shuffle=False))
    torch.testing.assert_close(found[0], expected)


def test_fishers_settings_are_of_their_own_sources() -> None:
    """SalUn's code has more noise by far than SCRUB's."""
    assert [Fisher(**Fisher.presets[name]).alpha for name in ("paper", "salun")] == [1e-6, 0.2]


def test_fisher_scales_its_examples() -> None:
    assert [Fisher(examples=100).within(share).examples for share in (0.1, 0.2, 0.5)] == [50, 100, 250]
    with pytest.raises(ValueError, match="examples must be 1 or more, which takes about 2 % of a retraining"):
        Fisher(examples=10).within(0.01)


def test_fisher_leaves_statistics_alone(setting) -> None:
    done = setting.run_alone(Fisher(examples=3), 11)
    for found, kept in zip(done.buffers(), setting.original.buffers(), strict=True):
        assert torch.equal(found, kept)


def test_fisher_knows_the_last_layer_by_what_it_is(setting) -> None:
    """Not by its number of rows: a hidden tensor may have as many."""
    model = copy.deepcopy(setting.original)
    variances = Fisher(alpha=1.0).variances(model, torch.zeros_like(flat(parameters(model))))
    largest = {name: round(float(view.max())) for name, view in variances.items()}
    assert {largest.pop("fc.weight"), largest.pop("fc.bias")} == {1_000}
    assert {value for name, value in largest.items() if model.get_parameter(name).dim() > 1} == {1_000}
    assert {value for name, value in largest.items() if model.get_parameter(name).dim() == 1} == {10_000}


def test_boundary_shrink_moves_as_computed_elsewhere(regression) -> None:
    images, labels = (column[:1] for column in regression.columns["forget"])
    moved = across(regression.model(), images, labels, 0.1)
    assert moved[0].tolist() == pytest.approx([0.1019607843, 0.6], abs=1e-9)
    label = regression.model()(moved).argmax(1)
    assert label.tolist() == [1]  # its own: allowed
    loss = cross_entropy(regression.model(0.9)(images), label).detach()
    assert float(loss) == pytest.approx(0.9167366537, abs=1e-9)


def test_boundary_shrink_scales_its_epochs() -> None:
    assert [BoundaryShrink().within(share).epochs for share in (0.1, 0.2, 1.0)] == [5.0, 10.0, 50.0]


def test_boundary_shrink_finds_the_classes_of_every_model_of_a_stack(setting) -> None:
    method = BoundaryShrink(batch_size=6, distance=0.05)
    alone = method.neighbours(
        copy.deepcopy(setting.original).eval(), setting.data([11], stacked=False).forget, setting.trial([11], stacked=False)
    )
    net, seeds = stack([setting.original] * 2).eval(), [11, 22]
    together = method.neighbours(net, setting.data(seeds, stacked=True).forget, setting.trial(seeds, stacked=True))
    assert together.tolist() == [alone.tolist()] * 2
    assert alone.tolist() != setting.columns["forget"][1].tolist()


@pytest.mark.parametrize("models", [1, 3])
def test_boundary_expand_grows_every_models_last_layer(setting, models: int) -> None:
    seeds = [11, 22, 33][:models]
    net = stack([setting.original] * models)
    before = {name: tensor.clone() for name, tensor in parameters(net.fc).items()}
    grow(net.fc, models, setting.trial(seeds, stacked=True))
    images = setting.columns["retain"][0][:5]
    assert net(images).shape == (models, 5, 5)
    for name, view in net.fc.named_parameters():
        rows = view.detach().unflatten(0, (models, -1))
        old = before[name].view(models, 4, *rows.shape[2:])
        assert torch.equal(rows[:, :4], old)
        assert rows[:, 4].abs().max() <= 64**-0.5
        assert len({float(row.flatten()[0]) for row in rows[:, 4]}) == models


def test_boundary_expand_takes_its_class_away(setting) -> None:
    given = stack([setting.original] * 2)
    layer, before = [(name, id(p), p.shape) for name, p in given.named_parameters()], given.fc.weight.clone()
    seeds = [11, 22]
    done = BoundaryExpand(epochs=1.0).unlearn(given, setting.data(seeds, stacked=True), setting.trial(seeds, stacked=True))
    assert [(name, id(p), p.shape) for name, p in done.named_parameters()] == layer
    assert size(done) == 2
    assert done(setting.columns["retain"][0][:5]).shape == (2, 5, 4)
    assert not torch.equal(done.fc.weight, before)


INVERSE = (
    "-0.0092960089 0.0873145136 -0.0760079995 0.0118663388 0.0853040084 -0.0991808523 0.0277765928 -0.0045369534 -0.0232396394"
)


def test_influence_gives_the_numbers_computed_elsewhere(regression) -> None:
    model, data = regression.model(), regression.data()
    away = 2 / 6 * (mean_gradient(model, data.forget) - mean_gradient(model, data.retain))
    found = times_inverse(model, away, data.retain.batches(1, shuffle=False), 1000)
    assert found[0].tolist() == pytest.approx(_numbers(INVERSE), abs=1e-9)
    theta = (
        "0.4981407982 -0.2825370973 0.0847984001 0.8023732678 -0.5829391983 0.1801638295 0.1055553186 -0.2009073907 0.0453520721"
    )
    expected = flat(parameters(model))[0] + 0.2 * found[0]
    assert expected.tolist() == pytest.approx(_numbers(theta), abs=1e-9)


def test_influence_leaves_statistics_alone(setting) -> None:
    done = setting.run_alone(Influence(examples=3), 11)
    for found, kept in zip(done.buffers(), setting.original.buffers(), strict=True):
        assert torch.equal(found, kept)


def test_influence_scales_its_single_examples() -> None:
    assert [Influence(examples=100).within(share).examples for share in (0.2, 0.3, 1.0)] == [100, 200, 900]
    with pytest.raises(ValueError, match="about 11 % of a retraining"):
        Influence().within(0.1)


def test_unsir_gives_the_numbers_computed_elsewhere(regression) -> None:
    model = regression.model()
    noise = torch.tensor([[0.5, -0.5], [0.25, 1.0]], dtype=torch.float64, requires_grad=True)
    loss = nearness(model(noise), model(regression.columns["forget"][0]))
    (slope,) = torch.autograd.grad(loss, noise)
    assert float(loss.detach()) == pytest.approx(-0.4110583333, abs=1e-9)
    assert slope.flatten().tolist() == pytest.approx([-0.138, 0.327, -0.2013333333, -0.1518333333], abs=1e-9)
    images, labels = regression.columns["retain"]
    joint = impairment(model, noise.detach().clamp(0, 1), images[:2], labels[:2])
    assert float(joint.detach()) == pytest.approx(1.6027613963, abs=1e-9)


def test_unsir_scales_its_epochs() -> None:
    plans = [Unsir().within(share) for share in (0.1, 0.2, 0.5)]
    assert [(plan.impair_epochs, plan.repair_epochs) for plan in plans] == [(1, 0.5), (2, 1.0), (5, 2.5)]


def test_unsir_repairs_less_where_an_epoch_that_impairs_takes_more_than_its_part() -> None:
    plan = Unsir().within(0.05)
    assert (plan.impair_epochs, plan.repair_epochs) == (1, pytest.approx((0.05 - 0.03) / (0.2 - 0.03)))
    with pytest.raises(ValueError, match="what it always does takes about 3 % of a retraining"):
        Unsir().within(0.03)


def test_unsir_drives_noise_away_within_the_range_of_images(setting) -> None:
    model, images = copy.deepcopy(setting.original).eval(), setting.columns["forget"][0]
    still, moved = (
        Unsir(noise_steps=steps, noise_rate=0.1).noise(model, images, setting.trial([11], stacked=False)) for steps in (0, 5)
    )
    logits = model(images)
    assert nearness(model(moved), logits) < nearness(model(still), logits)
    assert 0 <= moved.min() <= moved.max() <= 1


def test_unsir_leaves_statistics_alone(setting) -> None:
    done = setting.run_alone(Unsir(batch_size=6), 11)
    assert done.training
    for found, kept in zip(done.buffers(), setting.original.buffers(), strict=True):
        assert torch.equal(found, kept)


def test_unsir_sees_a_forget_set_smaller_than_a_batch(setting, distance) -> None:
    assert distance(setting.run_alone(Unsir(repair_epochs=0.0), 11), setting.original) > 1e-6


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]
