"""The kit of networks: the rules that a run applies, each as a check."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.testing.kit import kit_of
from bench.testing.networks import NETWORK_CHECKS, network_subject
from bench.testing.outcome import Status

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "worker"))  # tests are imported by path
from broken_networks import BROKEN, CORRECT, HEAD

pytestmark = pytest.mark.process  # the first check starts one

FIXED = """
class Net(Linear):
    def __init__(self, classes, size):
        if size != 32:
            raise ValueError("only pictures of 32 pixels")
        super().__init__({}, size)
"""


def outcomes(spec: str) -> dict[str, tuple[Status, str]]:
    found = [check.run(network_subject(spec)) for check in NETWORK_CHECKS]
    return {outcome.check: (outcome.status, outcome.reason) for outcome in found}


def failed(spec: str) -> dict[str, str]:
    return {name: reason for name, (status, reason) in outcomes(spec).items() if status is Status.FAILED}


def of_file(folder: Path, source: str) -> str:
    (folder / "my_net.py").write_text(source)
    return f"{folder / 'my_net.py'}:Net"


def test_the_rules_of_a_run_are_checks() -> None:
    names = [check.name for check in NETWORK_CHECKS]
    assert names[0] == "loads-without-side-effects"
    assert set(names[1:]) == {rule.replace("_", "-") for rule, _, _ in BROKEN.values()}
    assert all(check.what for check in NETWORK_CHECKS)


@pytest.mark.parametrize(
    "name", ["raises", "a-number", "ten-classes", "one-seed", "always-drops", "running-mean", "mixes-models"]
)
def test_a_broken_network_fails_its_check(name: str, tmp_path: Path) -> None:
    rule, said, source = BROKEN[name]
    found = failed(of_file(tmp_path, source))
    assert said in found[rule.replace("_", "-")]


@pytest.mark.parametrize("name", ["vision-transformer", "stackable"])
def test_networks_that_are_right_conform(name: str, tmp_path: Path) -> None:
    assert failed(of_file(tmp_path, CORRECT[name])) == {}


def test_ours_conform() -> None:
    found = outcomes("resnet8")
    assert found.pop("loads-without-side-effects") == (Status.SKIPPED, "it comes with bench")
    assert {status for status, _ in found.values()} == {Status.PASSED}


def test_other_numbers_of_classes_and_sizes_are_asked_for(tmp_path: Path) -> None:
    """A network may refuse a size, but not ignore what it is asked for."""
    found = outcomes(of_file(tmp_path, HEAD + FIXED.format("classes")))
    assert found["builds"] == (Status.PASSED, "it refuses pictures of 64 pixels: only pictures of 32 pixels")
    assert list(failed(of_file(tmp_path / "..", HEAD + FIXED.format("10")))) == ["builds"]


def test_loading_must_change_nothing(tmp_path: Path) -> None:
    spec = of_file(tmp_path, HEAD + "torch.manual_seed(3)\n" + FIXED.format("classes"))
    assert "importing it changes torch's global generator" in failed(spec)["loads-without-side-effects"]


@pytest.mark.parametrize(
    ("source", "attribute", "network"),
    [
        ("from torch import nn\nclass Net(nn.Module): pass", "", True),
        ("from torch import nn\nclass Net(nn.Module): pass", ":Net", True),
        ("def small(classes, size): pass", ":small", True),
        ("from torch import nn\nfrom bench import Method\nclass Net(nn.Module): pass\nclass Mine(Method): pass", "", False),
        ("from torch import nn\nclass Net(nn.Module): pass\ndef unlearning(net, retain, forget, val): pass", "", False),
        ("def unlearning(net, retain, forget, val): pass", ":unlearning", False),
        ("from bench import Method\nclass Mine(Method): pass", ":Mine", False),
        ("raise ValueError", "", False),
    ],
)
def test_what_a_file_holds_says_which_kit_it_is_tested_by(source: str, attribute: str, network: bool, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(source)
    assert (kit_of(f"{tmp_path / 'mine.py'}{attribute}").checks is NETWORK_CHECKS) is network


def test_names_say_which_kit_they_are_tested_by() -> None:
    assert kit_of("resnet18").checks is kit_of("resnet18-v1").checks is NETWORK_CHECKS
    assert kit_of("scrub[epochs=2]").checks is not NETWORK_CHECKS
    with pytest.raises(BenchError, match="did you mean resnet8-v1"):
        kit_of("resnet8-v2")
    with pytest.raises(BenchError, match="did you mean scrub"):
        kit_of("scrubb")
