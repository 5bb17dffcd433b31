"""Methods that steer by gradients: numbers that were computed elsewhere, on a model of 9 parameters, and what must hold."""

from __future__ import annotations

import pytest
import torch
from bench_plugins.jit import Jit, noisy, steepness


def test_jit_gives_the_number_computed_elsewhere(regression) -> None:
    images, _ = regression.columns["forget"]
    moved = torch.tensor([[0.1, -0.1], [-0.2, 0.05]], dtype=torch.float64)
    model = regression.model()
    assert steepness(model(images), model(images + moved), moved).item() == pytest.approx(1.7882320227, abs=1e-9)


def test_jit_cuts_noise_to_the_range_of_each_models_batch() -> None:
    """Also where a batch is of one brightness, and nothing can be said of its surroundings."""
    images = torch.stack([torch.tensor([[0.2], [0.6]]), torch.tensor([[0.5], [0.5]])])
    assert noisy(images, torch.tensor([-1.0, 1.0]).view(2, 1, 1), 1).flatten().tolist() == pytest.approx([0.2, 0.2, 0.5, 0.5])
    assert noisy(images[0], torch.tensor([[0.1], [0.1]]), 0).flatten().tolist() == pytest.approx([0.3, 0.6])
    logits = torch.ones(2, 3, requires_grad=True)
    steepness(logits, torch.ones(2, 3), torch.zeros(2, 1)).backward()
    assert logits.grad.tolist() == [[0.0] * 3] * 2


def test_jit_does_whole_passes() -> None:
    assert [Jit().within(share).passes for share in (0.06, 0.2, 0.5, 1.0)] == [1, 1, 2, 5]
    with pytest.raises(ValueError, match="the least of it, about 6 % of a retraining"):
        Jit().within(0.05)
