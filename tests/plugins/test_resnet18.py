"""Every method on the challenge's network: a step or a few, which nothing of the embedded task's own network stands in for."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.budget import Allowance
from bench.models.build import initialised
from bench.splits import MethodData, bind
from bench.trial import Trial

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from cases import CASES
from loops import least

IMAGES, CLASSES, SEED = 8, 4, 11
FEWER = {"fisher": {"examples": 1}, "influence": {"examples": 1}, "negmerge": {"learning_rates": (1e-3,), "scales": (1.0,)}}


@pytest.fixture(scope="module")
def original() -> nn.Module:
    return initialised("resnet18-v1", CLASSES, 1)


@pytest.fixture(scope="module")
def columns() -> dict[str, tuple[Tensor, Tensor]]:
    draws = torch.Generator().manual_seed(0)
    splits = ("retain", "forget", "validation")
    return {
        name: (torch.rand(IMAGES, 3, 32, 32, generator=draws), torch.randint(CLASSES, (IMAGES,), generator=draws))
        for name in splits
    }


@pytest.mark.parametrize("name", CASES)
def test_the_smallest_budget_on_resnet18(original, columns, name: str) -> None:
    data = MethodData(**{name: bind(own, [SEED], name, stacked=False) for name, own in columns.items()})
    trial = Trial((0,), (SEED,), False, torch.device("cpu"), Allowance(9.0), None, "resnet18-v1", CLASSES)
    method = replace(least(type(CASES[name][0])), **FEWER.get(name, {}))
    model = method.unlearn(copy.deepcopy(original), data, trial)
    pairs = list(zip(model.parameters(), original.parameters(), strict=True))
    assert all(one.isfinite().all() for one, _ in pairs)
    assert any(not one.equal(other) for one, other in pairs)
