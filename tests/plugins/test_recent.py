"""Methods of 2024 to 2026: numbers that were computed elsewhere, on a model of 9 parameters, and what must hold."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace

import pytest
import torch
from bench_plugins import lotus
from bench_plugins.lotus import Lotus, soft_cross_entropy, temperature
from bench_plugins.negmerge import NegMerge, agreed
from bench_plugins.noised import Noised
from bench_plugins.noisy_ft import NoisyFineTune
from bench_plugins.output_perturbation import OutputPerturbation
from bench_plugins.sfr_on import SfrOn, ascent
from scipy.stats import norm

from bench.weights import flat, parameters


def test_sfr_on_weighs_what_is_known_well_most(regression) -> None:
    images, labels = regression.columns["forget"]
    assert -ascent(regression.model()(images), labels).item() == pytest.approx(0.6993636340, abs=1e-9)


def test_sfr_on_acts_where_weights_matter_more_to_forget(regression) -> None:
    mask = SfrOn(threshold=1.0).mask(regression.model(), regression.data())
    assert torch.cat([view.flatten() for view in mask.values()]).int().tolist() == [1, 0, 1, 0, 1, 0, 1, 1, 1]


def test_sfr_on_forgets_less_and_less(setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the published setting's steps 0, 500 and 1000 of 1500, here 0, 5 and 10 of 15."""
    seen = []
    monkeypatch.setattr(SfrOn, "ascend", lambda self, model, optimizer, batch, strength, kept: seen.append(strength))
    setting.run_alone(SfrOn(steps=15, strength=25.0, retain_batch=4), 11)
    assert seen == pytest.approx([25.0, 18.75, 6.25])


def test_sfr_on_clips_each_model_of_a_stack(setting, distance) -> None:
    """By far: of a sum of two models the clipped gradient would be shorter."""
    method = SfrOn(steps=1, max_norm=1e-3, learning_rate=1.0, momentum=0.0, weight_decay=0.0, strength=1e3)
    alone = setting.run_alone(method, 11)
    assert distance(setting.run_stacked(method, [11, 22])[0], alone) < 1e-9


@pytest.mark.parametrize(("share", "steps"), [(0.2, 30), (0.1, 6), (1.0, 214)])
def test_sfr_on_takes_as_many_steps_as_fit_beside_the_mask(share: float, steps: int) -> None:
    assert SfrOn(steps=30).within(share).steps == steps
    for less in (0.05, 0.072):
        with pytest.raises(ValueError, match=r"must be 1 or more|what it always does"):
            SfrOn(steps=30).within(less)


def test_negmerge_keeps_what_all_agree_on() -> None:
    moves = torch.tensor([[0.1, -0.2, 0.3, 0.0], [0.2, -0.1, -0.3, 0.1], [0.3, -0.3, 0.3, 0.1]], dtype=torch.float64)
    assert agreed(moves).tolist() == pytest.approx([0.2, -0.2, 0.0, 0.0])


def test_negmerge_goes_least_far_where_every_scale_costs_too_much(setting, distance) -> None:
    careful, bold = (
        NegMerge(learning_rates=(0.1,), epochs=1.0, scales=(0.1, 1e3), tolerance=tolerance) for tolerance in (0.0, 1.0)
    )
    moved = setting.run_alone(careful, 11)
    assert 0 < distance(moved, setting.original) < distance(setting.run_alone(bold, 11), setting.original)
    buffers = zip(moved.buffers(), setting.original.buffers(), strict=True)
    assert all(torch.equal(one, other) for one, other in buffers if one.dim())  # but for counters


def test_negmerge_counts_the_choice_of_a_scale() -> None:
    assert [NegMerge(epochs=1.0).within(share).epochs for share in (0.08, 0.2, 0.36)] == [0.25, 1.0, 2.0]
    with pytest.raises(ValueError, match="what it always does takes about 4 % of a retraining"):
        NegMerge(epochs=1.0).within(0.04)


@pytest.mark.parametrize("odd", [{"learning_rates": ()}, {"scales": (0.0,)}, {"scales": ()}, {"learning_rates": (-1.0,)}])
def test_negmerge_needs_rates_and_scales(odd: dict) -> None:
    with pytest.raises(ValueError, match="must be numbers above 0, one or more of each"):
        NegMerge(**odd)


ORIGINAL_AT_NORM_1 = [
    *(0.4163054471, -0.2497832683, 0.0832610894, 0.6660887154, -0.4995665365, 0.1665221788),
    *(0.0832610894, -0.1665221788, 0.0416305447),
]
AFTER_A_STEP = [
    *(0.4210406257, -0.2367288822, 0.0784899794, 0.6893180064, -0.4995306052, 0.1302385018),
    *(0.0697680276, -0.1509666454, 0.0395680730),
]


def test_noisy_ft_shrinks_and_walks(regression) -> None:
    method, model = NoisyFineTune(radius=1.0, max_norm=0.1, rate=0.5), regression.model()
    method.shrink(model)
    assert regression.theta(model) == pytest.approx(ORIGINAL_AT_NORM_1, abs=1e-9)
    method.shrink(model)
    assert regression.theta(model) == pytest.approx(ORIGINAL_AT_NORM_1, abs=1e-9)
    method.walk(model, regression.columns["retain"])
    assert regression.theta(model) == pytest.approx(AFTER_A_STEP, abs=1e-6)  # clipping adds 1e-6 to norms, as torch's does


def test_noisy_ft_goes_on_where_a_gradient_overflows(setting) -> None:
    """A step without one is as short as the proof wants it."""
    model = copy.deepcopy(setting.original).eval()
    with torch.no_grad():
        model.conv1.weight.fill_(1e200)
        model.layer1.conv1.weight.fill_(1e200)
    before = model.fc.weight.clone()
    batch = next(setting.data([11], stacked=False).retain.batches(4))
    NoisyFineTune(shrinkage=0.5, rate=0.1).walk(model, batch)
    torch.testing.assert_close(model.fc.weight, 0.95 * before, rtol=1e-12, atol=0)


def test_noisy_ft_has_the_noise_of_its_budget() -> None:
    method = NoisyFineTune(epsilon=1.0, radius=1.0, max_norm=0.1, rate=0.5, steps=20)
    assert method.sigma == pytest.approx(0.4472135955)
    assert method.rho == pytest.approx(2.0)
    assert method.certificate().startswith("Renyi divergence of order q at most 2 q, so (11.6, 1e-05)-unlearning")
    for shrinkage in (1e-9, 1e-18, 1e-200):
        shrinking = replace(method, shrinkage=shrinkage)
        assert (shrinking.drift, shrinking.noises) == pytest.approx((method.drift, method.noises), rel=1e-6)
    for much in (2.0, 3.9, 4.0, 100.0):
        with pytest.raises(ValueError, match="a step must keep some of the weights: below 1"):
            replace(method, shrinkage=much)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_noisy_ft_keeps_what_it_proves(shrinkage: float) -> None:
    """The worst case in one dimension is computed: two walks as far apart as can be, which end in normal distributions."""
    method = NoisyFineTune(epsilon=0.7, radius=2.0, max_norm=0.3, rate=0.2, shrinkage=shrinkage, steps=7)
    apart, variance = 2 * method.radius, 0.0
    for _ in range(method.steps):
        apart = (1 - method.rate * shrinkage) * apart + 2 * method.rate * method.max_norm
        variance = (1 - method.rate * shrinkage) ** 2 * variance + method.sigma**2
    order = 3.0
    assert order * apart**2 / (2 * variance) == pytest.approx(order * method.rho)


@pytest.mark.parametrize("method", [NoisyFineTune(epochs=0.5), OutputPerturbation(epochs=0.5)])
def test_what_is_proven_leaves_statistics_alone(setting, method: Noised) -> None:
    buffers = zip(setting.run_alone(method, 11).buffers(), setting.original.buffers(), strict=True)
    assert all(torch.equal(one, other) for one, other in buffers)


def test_output_perturbation_has_the_noise_of_its_budget() -> None:
    method = OutputPerturbation(epsilon=1.0, delta=1e-5, radius=1.0)
    assert method.sigma == pytest.approx(9.6896105252, abs=1e-10)
    assert method.certificate().startswith("Renyi divergence of order q at most 0.0213 q, so (1.01, 1e-05)-unlearning")


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("delta", [1e-6, 1e-2])
def test_output_perturbation_keeps_what_it_proves(epsilon: float, delta: float) -> None:
    """Of two normal distributions as far apart as can be (Balle and Wang 2018, arXiv:1805.06530, theorem 5)."""
    method = OutputPerturbation(epsilon=epsilon, delta=delta, radius=2.0)
    assert method.rho == pytest.approx(4.0**2 / (2 * method.sigma**2))
    told = float(re.search(r"so \(([0-9.e+]+), ", method.certificate())[1])
    apart = 4.0 / method.sigma
    beyond = norm.cdf(apart / 2 - told / apart) - math.exp(min(told + norm.logcdf(-apart / 2 - told / apart), 0.0))
    assert beyond <= delta


def test_output_perturbation_ends_in_the_ball_before_its_repair(setting) -> None:
    model = setting.run_alone(OutputPerturbation(radius=2.0, learning_rate=1e-12), 11)
    assert flat(parameters(model)).norm().item() == pytest.approx(2.0)


def test_lotus_gives_the_numbers_computed_elsewhere(regression) -> None:
    images, _ = regression.columns["forget"]
    tau = temperature(torch.tensor(1.0 - 0.8, dtype=torch.float64), 2.0)
    assert tau.item() == pytest.approx(1.4918246976, abs=1e-10)
    target = (regression.model()(images) / tau).softmax(-1)
    assert soft_cross_entropy(target, regression.model(0.9)(images)).mean().item() == pytest.approx(1.0713825163, abs=1e-10)


def test_lotus_stops_each_model_when_it_has_forgotten(setting, distance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing of it moves, statistics included, whatever the other models do."""
    method = Lotus(epochs=3, learning_rate=1e-2, alpha=2.0, batch_size=10)

    def run(errors: list[list[float]], seeds: list[int]) -> list[torch.nn.Module]:
        told = iter(torch.tensor(errors, dtype=torch.float64))
        monkeypatch.setattr(lotus, "error", lambda model, split: next(told))
        return setting.run_stacked(method, seeds)

    both = run([[0.5, 0.5], [0.1, 0.1], [0.52, 0.2], [0.0, 0.505], [0.0, 0.0]], [11, 22])  # on validation, then before each epoch
    (first,) = run([[0.5], [0.1], [0.52], [0.0], [0.0]], [11])
    (second,) = run([[0.5], [0.1], [0.2], [0.505], [0.0]], [22])
    assert distance(both[0], first) < 1e-9
    assert distance(both[1], second) < 1e-9
    method = replace(method, epochs=1)
    (stopped,) = run([[0.5], [0.1]], [11])
    (going,) = run([[0.5], [0.1]], [22])
    assert distance(stopped, first) < 1e-9
    assert distance(going, second) > 1e-6


def test_lotus_needs_an_epoch() -> None:
    assert [Lotus(epochs=4).within(share).epochs for share in (0.1, 0.2, 1.0)] == [1, 4, 24]
    with pytest.raises(ValueError, match="epochs must be 1 or more, which takes about 8 % of a retraining"):
        Lotus(epochs=4).within(0.07)
    with pytest.raises(ValueError, match="what it always does takes about 4 % of a retraining"):
        Lotus(epochs=4).within(0.04)
