"""Every method against a second implementation written here with torch's own parts, for plain networks and stacks."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bench_plugins.finetune import FineTune
from bench_plugins.negative_gradient import NegativeGradient
from bench_plugins.neggrad_plus import NegGradPlus
from bench_plugins.noise_injection import NoiseInjection
from bench_plugins.scrub import Scrub
from bench_plugins.scrub_noise import ScrubNoise
from bench_plugins.scrub_r import ScrubRewind

from bench import Control, Method
from bench.registry import discovery, loading

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from cases import CASES
from loops import Loop

SEEDS = (11, 22, 33)
GOLDEN = Path(__file__).parent / "golden"
everywhere = pytest.mark.parametrize("name", CASES)


@everywhere
def test_equals_a_second_implementation(setting, distance, name: str) -> None:
    method, second = CASES[name]
    for seed in SEEDS[:2]:
        loop = Loop(setting, seed)
        second(loop)
        assert distance(setting.run_alone(method, seed), loop.model) < 1e-9


@everywhere
def test_stacked_equals_alone_whatever_the_grouping(setting, distance, name: str) -> None:
    method, _ = CASES[name]
    alone = [setting.run_alone(method, seed) for seed in SEEDS]
    for group in ([0, 1, 2], [2, 0], [1]):
        torch.manual_seed(len(group))  # a stackable method must not draw from the global generator
        together = setting.run_stacked(method, [SEEDS[m] for m in group])
        assert max(distance(model, alone[m]) for model, m in zip(together, group, strict=True)) < 1e-9


@everywhere
def test_seeds_differ_and_repeat(setting, distance, name: str) -> None:
    method, _ = CASES[name]
    first, again, other = (setting.run_alone(method, seed) for seed in (11, 11, 22))
    assert distance(first, again) == 0
    assert (distance(first, other) == 0) if method.deterministic else (distance(first, other) > 1e-6)


@everywhere
def test_golden(setting, name: str) -> None:
    """Numbers written down once: a change of an algorithm cannot pass unseen."""
    method, _ = CASES[name]
    model = setting.run_alone(method, 11).eval()
    with torch.no_grad():
        logits = model(setting.columns["validation"][0][:2])
    assert logits.flatten().tolist() == pytest.approx(json.loads((GOLDEN / f"{name}.json").read_text()), abs=1e-6)


def test_every_installed_method_is_a_case() -> None:
    golden = {path.stem for path in GOLDEN.iterdir()}
    own = [plugin for plugin in discovery.plugins(discovery.METHODS) if plugin.distribution == "unlearning-bench"]
    methods = {plugin.name for plugin in own if not issubclass(loading.load_method(plugin), Control)}
    assert set(CASES) == golden == methods


USUAL = [FineTune(), NegGradPlus(), NegativeGradient(), NoiseInjection(), Scrub(), ScrubNoise(), ScrubRewind()]


@everywhere
def test_defaults_are_for_the_usual_budget(name: str) -> None:
    method = type(CASES[name][0])()
    assert method.within(0.2) == method


@pytest.mark.parametrize("method", USUAL[:4], ids=lambda method: type(method).__name__)
@pytest.mark.parametrize(("share", "times"), [(0.05, 0.25), (0.1, 0.5), (0.4, 2.0), (1.0, 5.0)])
def test_epochs_follow_the_budget(method: Method, share: float, times: float) -> None:
    assert method.within(share) == replace(method, epochs=times * method.epochs)


@pytest.mark.parametrize("method", USUAL[4:], ids=lambda method: type(method).__name__)
@pytest.mark.parametrize(("share", "epochs", "max_epochs"), [(0.3, 3, 1), (0.4, 4, 2), (0.6, 6, 3), (1.0, 10, 5)])
def test_scrub_does_whole_epochs(method: Scrub, share: float, epochs: int, max_epochs: int) -> None:
    assert method.within(share) == replace(method, epochs=epochs, max_epochs=max_epochs)
    for less in (0.05, 0.1, 0.19):
        with pytest.raises(ValueError, match="two passes over retain are the least of it, about 20 % of a retraining"):
            method.within(less)
