"""Methods of 2024 to 2026: numbers that were computed elsewhere, on a model of 9 parameters, and what must hold."""

from __future__ import annotations

import math

import pytest
import torch
from bench_plugins.negmerge import NegMerge, agreed
from bench_plugins.sfr_on import SfrOn, ascent


def test_sfr_on_weighs_what_is_known_well_most(regression) -> None:
    images, labels = regression.columns["forget"]
    assert -ascent(regression.model()(images), labels).item() == pytest.approx(0.6993636340, abs=1e-9)


def test_sfr_on_acts_where_weights_matter_more_to_forget(regression) -> None:
    mask = SfrOn().mask(regression.model(), regression.data())
    assert torch.cat([view.flatten() for view in mask.values()]).int().tolist() == [1, 0, 1, 0, 1, 0, 1, 1, 1]


def test_sfr_on_forgets_less_and_less(setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the published setting's steps 0, 500 and 1000 of 1500, here 0, 5 and 10 of 15."""
    seen = []
    monkeypatch.setattr(SfrOn, "ascend", lambda self, model, optimizer, batch, strength, kept: seen.append(strength))
    setting.run_alone(SfrOn(steps=15, retain_batch=4), 11)
    assert seen == pytest.approx([25.0, 18.75, 6.25])


def test_sfr_on_clips_each_model_of_a_stack(setting, distance) -> None:
    """By far: of a sum of two models the clipped gradient would be shorter."""
    method = SfrOn(steps=1, max_norm=1e-3, learning_rate=1.0, momentum=0.0, weight_decay=0.0, strength=1e3)
    alone = setting.run_alone(method, 11)
    assert distance(setting.run_stacked(method, [11, 22])[0], alone) < 1e-9


@pytest.mark.parametrize(("share", "steps"), [(0.2, 30), (0.1, 15), (0.01, 1)])
def test_sfr_on_takes_as_many_steps_as_fit(share: float, steps: int) -> None:
    assert SfrOn().within(share).steps == steps
    with pytest.raises(ValueError, match="least of it"):
        SfrOn().within(math.nextafter(0.2 / 30, 0) / 2)


def test_negmerge_keeps_what_all_agree_on() -> None:
    moves = torch.tensor([[0.1, -0.2, 0.3, 0.0], [0.2, -0.1, -0.3, 0.1], [0.3, -0.3, 0.3, 0.1]], dtype=torch.float64)
    assert agreed(moves).tolist() == pytest.approx([0.2, -0.2, 0.0, 0.0])


def test_negmerge_goes_least_far_where_every_scale_costs_too_much(setting, distance) -> None:
    careful, bold = (NegMerge(learning_rates=(0.1,), scales=(0.1, 1e3), tolerance=tolerance) for tolerance in (0.0, 1.0))
    moved = setting.run_alone(careful, 11)
    assert 0 < distance(moved, setting.original) < distance(setting.run_alone(bold, 11), setting.original)
    buffers = zip(moved.buffers(), setting.original.buffers(), strict=True)
    assert all(torch.equal(one, other) for one, other in buffers if one.dim())  # but for counters


@pytest.mark.parametrize("odd", [{"learning_rates": ()}, {"scales": (0.0,)}, {"scales": ()}, {"learning_rates": (-1.0,)}])
def test_negmerge_needs_rates_and_scales(odd: dict) -> None:
    with pytest.raises(ValueError, match="must be numbers above 0, one or more of each"):
        NegMerge(**odd)
