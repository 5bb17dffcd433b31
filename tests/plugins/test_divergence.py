"""Models of a stack that diverge, and what others in it have of that: nothing."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from bench_plugins.advanced_neggrad import AdvancedNegGrad
from bench_plugins.negative_gradient import NegativeGradient, check_finite

from bench.models.build import build
from bench.models.stacked import stack, unstack

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from cases import CASES

SEEDS = (11, 22)


@pytest.mark.parametrize("name", CASES)
def test_a_model_that_is_not_finite_changes_no_other(setting, distance, name: str) -> None:
    method, lost = CASES[name][0], copy.deepcopy(setting.original)
    torch.nn.init.constant_(lost.layer2.conv1.weight, float("nan"))
    given = stack([lost, setting.original])
    done = method.unlearn(given, setting.data(SEEDS, stacked=True), setting.trial(SEEDS, stacked=True))
    other = unstack(done, 1, build("resnet8-v1", 4).double())
    assert distance(other, setting.run_alone(method, SEEDS[1])) < 1e-9


@pytest.mark.parametrize("method", [AdvancedNegGrad(epochs=2.0, learning_rate=1e300), NegativeGradient(learning_rate=1e300)])
def test_diverged_weights_are_an_error(setting, method) -> None:
    with pytest.raises(FloatingPointError, match="diverged"):
        setting.run_alone(method, 11)
    with pytest.raises(FloatingPointError, match="diverged"):
        setting.run_stacked(method, SEEDS)


def test_one_of_several_that_diverged_is_left_to_the_engine(setting) -> None:
    """Which says so of any method, and finds out which trial it is."""
    net = stack([setting.original] * 2)
    with torch.no_grad():
        net.fc.bias[0] = float("inf")
    check_finite(net)
