"""What a method returns is the task's network, or it is told how it differs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bench.models.build import initialised
from bench.models.returned import mismatch, returned_model, shapes
from bench.models.stacked import stack

MODELS = 3


def _stack() -> nn.Module:
    return stack([initialised("resnet8-v1", 10, seed) for seed in range(MODELS)])


def test_shapes_are_those_of_one_model() -> None:
    one, many = shapes(initialised("resnet8-v1", 10, 0)), shapes(_stack())
    assert one == many
    assert (one["fc.weight"], one["normalise.mean"], "bn1.num_batches_tracked" in one) == ((10, 64), (3,), False)


def test_what_differs_is_said_in_words() -> None:
    wanted = {"a.weight": (2, 3), "a.bias": (2,), "b.bias": (1,)}
    assert mismatch(wanted, wanted) == ""
    assert mismatch({**wanted, "c": (1,)}, wanted) == "c is unexpected"
    assert mismatch({"a.weight": (4, 3), "b.bias": (9,)}, wanted) == "a.bias is missing; a.weight is (4, 3), not (2, 3)"
    assert mismatch({}, wanted) == "a.bias and 2 more are missing"


def test_a_model_that_is_returned_is_the_task_s_network() -> None:
    net = initialised("resnet8-v1", 4, 0)
    assert returned_model(net, shapes(net), 1) is net
    other = copy.deepcopy(net)
    other.fc = nn.Linear(64, 10)
    other.register_buffer("fisher", torch.ones(2))
    told = r"fisher is unexpected; fc\.weight is \(10, 64\), not \(4, 64\); return the given network or a copy of it"
    with pytest.raises(TypeError, match=told):
        returned_model(other, shapes(net), 1)


@pytest.mark.parametrize("returned", [None, {}, (initialised("resnet8-v1", 4, 0), 0.5)])
def test_what_is_no_model_is_told(returned: object) -> None:
    with pytest.raises(TypeError, match=rf"^unlearn must return the model, not {type(returned).__name__}$"):
        returned_model(returned, {}, 1)


def test_a_stack_has_as_many_models_as_there_are_trials() -> None:
    nets = _stack()
    assert returned_model(nets, shapes(nets), MODELS) is nets
    with pytest.raises(TypeError, match="returned 3 models for 2 trials"):
        returned_model(nets, shapes(nets), 2)
