"""What every method does with a budget: whatever it says that fits is something, and looks at forget if it declares to."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import Method

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from cases import CASES
from loops import least

everywhere = pytest.mark.parametrize("kind", [type(method) for method, _ in CASES.values()], ids=list(CASES))


def with_another_forget_set(setting):
    images, labels = setting.columns["forget"]
    return replace(setting, columns={**setting.columns, "forget": (images.flip(-1), (labels + 1) % 4)})


@everywhere
def test_the_smallest_budget_is_used(setting, distance, kind: type[Method]) -> None:
    """With a batch or less in every split: rounding down would leave nothing."""
    method = least(kind)
    model = setting.run_alone(method, 11)
    assert distance(model, setting.original) > 0
    other = setting.run_alone(method, 11) if not kind.uses_forget else with_another_forget_set(setting).run_alone(method, 11)
    assert (distance(model, other) > 0) == kind.uses_forget
