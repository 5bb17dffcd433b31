"""Winners of the challenge: numbers that were computed elsewhere, and what each leaves alone."""

from __future__ import annotations

import copy

import pytest
import torch
from bench_plugins.fanchuan import contrast, unevenness
from bench_plugins.kookmin import Kookmin, difference, factor, least


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
    assert [factor(epoch, epochs) for epoch in range(epochs)] == pytest.approx(factors)


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
