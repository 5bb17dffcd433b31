"""What every method does with a network in which parameters are frozen: these stay as they are, bit for bit."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bench_plugins.cf_k import CfK
from bench_plugins.eu_k import EuK
from torch import nn

from bench import BenchError

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from cases import CASES


def with_frozen(setting, *names: str):
    """The setting with modules of these names frozen."""
    original = copy.deepcopy(setting.original)
    for name in names:
        original.get_submodule(name).requires_grad_(False)
    return replace(setting, original=original)


def changed(model: nn.Module, original: nn.Module) -> set[str]:
    """Names of parameters that are not equal bit for bit."""
    pairs = zip(model.named_parameters(), original.parameters(), strict=True)
    return {name for (name, one), other in pairs if not one.equal(other)}


@pytest.mark.parametrize("stacked", [False, True], ids=["alone", "stacked"])
@pytest.mark.parametrize("name", CASES)
def test_frozen_parameters_stay(setting, name: str, stacked: bool) -> None:
    method, frozen = CASES[name][0], with_frozen(setting, "conv1", "layer3.bn2", "fc")
    model = frozen.run_stacked(method, [11, 22])[1] if stacked else frozen.run_alone(method, 11)
    still = {name for name, parameter in frozen.original.named_parameters() if not parameter.requires_grad}
    moved = changed(model, frozen.original)
    assert moved
    assert not moved & still
    assert stacked or still == {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


@pytest.mark.parametrize("method", [CfK(k=0), EuK(k=0)])
def test_frozen_blocks_are_nothing_to_train(setting, method: CfK) -> None:
    with pytest.raises(BenchError, match="all of fc is frozen: there is nothing to train"):
        with_frozen(setting, "fc").run_alone(method, 11)
