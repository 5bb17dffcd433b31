"""The settings of SCRUB's authors, in the documentation and by name."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path

import pytest
from bench_plugins.scrub import Scrub
from bench_plugins.scrub_settings import PRESETS
from torch.optim import SGD, Adam

from bench.registry import specs

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from cases.first import SCRUB
from loops import Loop

SEEDS = (11, 22)
ROW = re.compile(r"`(scrub\[preset=.*\])` \| `(scrub\[.*\])`")
PUBLISHED = ROW.findall((Path(__file__).parents[2] / "docs" / "evidence" / "tuning.md").read_text())


def test_each_is_in_the_documentation_by_name_and_in_full() -> None:
    assert {name for name, _ in PUBLISHED} == {f"scrub[preset={name}]" for name in PRESETS}
    for name, text in PUBLISHED:
        assert specs.configure(Scrub, specs.parse(name), 0.2) == specs.configure(Scrub, specs.parse(text), 0.2)


@pytest.mark.parametrize("text", [name for name, _ in PUBLISHED])
def test_published_settings_of_scrub_can_be_said(setting, distance, text: str) -> None:
    """And come to what torch's own optimisers and scheduler do with them; in stacks, too."""
    spec = specs.parse(text)
    method = specs.configure(Scrub, spec, 0.2)
    loop = Loop(setting, SEEDS[0])
    kind = {"sgd": partial(SGD, momentum=method.momentum), "adam": Adam}[method.optimizer]
    optimizer = kind(loop.model.parameters(), lr=method.learning_rate, weight_decay=method.weight_decay)
    names = (*SCRUB, "gamma", "temperature", "decay_rate")
    passes = list(loop.scrub(**{name: getattr(method, name) for name in names}, optimizer=optimizer))
    assert passes.count("max") == method.max_epochs
    alone = setting.run_alone(method, SEEDS[0])
    assert distance(alone, loop.model) < 1e-9
    assert distance(setting.run_stacked(method, SEEDS[:2])[0], alone) < 1e-9
