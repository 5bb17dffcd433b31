"""Draws of a trial depend on its seed alone, not on the trials it shares a stack with."""

import torch

from bench.budget import Allowance
from bench.trial import Trial


def _trial(*seeds: int) -> Trial:
    return Trial(tuple(range(len(seeds))), seeds, len(seeds) > 1, torch.device("cpu"), Allowance(1.0), None, "resnet8-v1", 4)


def test_draws_do_not_depend_on_the_grouping() -> None:
    view = torch.zeros(2, 5, 3)
    for draw in (Trial.normal_like, Trial.uniform_like):
        together = draw(_trial(11, 22), view)
        assert torch.equal(together[1], draw(_trial(22), view[:1])[0])
        assert not torch.equal(together[0], together[1])
    assert torch.equal(_trial(11, 22).integers(1000, 9)[1], _trial(22).integers(1000, 9))


def test_draws_go_on() -> None:
    trial, view = _trial(1), torch.zeros(1, 4)
    assert not torch.equal(trial.normal_like(view), trial.normal_like(view))


def test_normal_and_uniform_have_their_moments() -> None:
    trial, view = _trial(3), torch.zeros(1, 100_000)
    normal, uniform = trial.normal_like(view), trial.uniform_like(view)
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert 0 <= uniform.min() <= uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01


def test_fresh_models_are_the_seeds_own() -> None:
    together = _trial(5, 6).fresh_model()
    alone = _trial(6).fresh_model()
    assert torch.equal(together.fc.weight[4:], alone.fc.weight)
