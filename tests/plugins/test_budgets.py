"""What budgets and searches do to every method: what fits a budget is something, and settings by name stay as they are."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import Method
from bench.registry import documentation, specs

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


@everywhere
def test_no_search_moves_a_setting_that_has_a_name(kind: type[Method]) -> None:
    """Whatever the defaults become, such a setting says its own values of all that is searched."""
    for values in kind.presets.values():
        assert set(specs.searches(kind)) <= set(values)


@everywhere
def test_every_default_has_a_source(kind: type[Method]) -> None:
    """Pages show it: it stands at the end of the field's line, and a default that is wrapped would lose it."""
    assert [field.name for field in documentation.hyper_parameters(kind) if not field.source] == []
