"""What every network has to keep: each rule finds networks that break it, and no other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from bench.engine.worker.examination import RULES, Subject, examined
from bench.errors import BenchError
from bench.models.build import blueprint
from bench.models.networks import NETWORKS
from bench.registry import networks
from bench.registry.networks import blueprint_of

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from broken_networks import BROKEN, CORRECT

CPU = torch.device("cpu")


def subject(folder: Path, source: str, classes: int = 10, size: int = 32) -> Subject:
    (folder / "my_net.py").write_text(source)
    found = networks.find(f"{folder / 'my_net.py'}:Net")
    return Subject(blueprint_of(found.name, found.own, classes, size), classes, size, CPU)


def test_every_rule_has_a_broken_network() -> None:
    assert {rule for rule, _, _ in BROKEN.values()} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_network_breaks_exactly_its_rule(name: str, tmp_path: Path) -> None:
    """The first that it breaks; those before it are kept."""
    rule, said, source = BROKEN[name]
    examinee, broken = subject(tmp_path, source), []
    for each in RULES:
        try:
            each(examinee)
        except BenchError as problem:
            broken.append(each.__name__)
            message = str(problem)
            break
    assert broken == [rule]
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("name", CORRECT)
@pytest.mark.parametrize(("classes", "size"), [(10, 32), (3, 64)])
def test_what_is_right_is_let_through(name: str, classes: int, size: int, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    cost = examined(subject(tmp_path, CORRECT[name], classes, size))
    assert cost.parameters > 0
    assert cost.activations > 0
    assert name in ("mobilenet", "vision-transformer") or torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["resnet8-v1", "resnet18-v1"])
def test_ours_keep_every_rule_and_cost_what_is_known(name: str) -> None:
    cost = examined(Subject(blueprint(name, 10), 10, 32, CPU))
    assert cost.parameters == pytest.approx(NETWORKS[name].parameters, rel=0.01)
    assert cost.activations == pytest.approx(NETWORKS[name].activations, rel=0.6)
