"""Methods that edit weights, on numbers that were computed elsewhere, and what they leave alone."""

from __future__ import annotations

import copy

import pytest
import torch
from bench_plugins.delete import Delete, divergence, without_true_class
from bench_plugins.ssd import Ssd, everything

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
    overall, forget = method.importance(model, everything(data)), method.importance(model, data.forget)
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
    assert [Delete().within(share).epochs for share in (0.1, 0.2, 1.0)] == [5.0, 10.0, 50.0]


def test_delete_gives_the_numbers_computed_elsewhere(regression) -> None:
    images, labels = regression.columns["forget"]
    with torch.no_grad():
        target = without_true_class(regression.model()(images), labels)
        loss = divergence(target, regression.model(0.9)(images))
    expected = [[0.4800106598, 0.0, 0.5199893402], [0.4476920904, 0.5523079096, 0.0]]
    torch.testing.assert_close(target, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0)
    assert float(loss) == pytest.approx(0.6570386338, abs=1e-9)


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]
