"""Every check of the conformance kit is proven by a broken plugin that fails it, and no other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.errors import BenchError
from bench.registry import discovery
from bench.testing import real_trial, toy_task
from bench.testing.checks import CHECKS
from bench.testing.outcome import Status
from bench.testing.subject import subject

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from broken import BROKEN, HEAD, SCRUBS

pytestmark = pytest.mark.process  # every test here starts one

NAMES = {check.name for check in CHECKS}


def _failed(spec: str) -> dict[str, str]:
    outcomes = [check.run(subject(spec)) for check in CHECKS]
    torch.set_default_dtype(torch.float32)
    return {outcome.check: outcome.reason for outcome in outcomes if outcome.status is Status.FAILED}


def test_every_check_has_a_broken_plugin() -> None:
    assert {check for check, _ in BROKEN.values()} == NAMES


@pytest.mark.parametrize("name", [*BROKEN, *SCRUBS])
def test_a_broken_plugin_fails_exactly_its_check(tmp_path: Path, name: str) -> None:
    check, source = {**BROKEN, **SCRUBS}[name]
    (tmp_path / f"{name}.py").write_text(HEAD + source)
    failed = _failed(str(tmp_path / f"{name}.py"))
    assert list(failed) == [check], failed


# They draw so much anew that the few steps which two epochs over 96 images have repair little of it: their docstrings say so.
LONG_REPAIR = {"amnesiacs", "forget", "kookmin", "noisy-ft", "output-perturbation", "sebastian", "sun"}


SHIPPED = sorted({plugin.name for plugin in discovery.plugins(discovery.METHODS)} - {"original", "retrain"})


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_conforms(name: str) -> None:
    assert set(_failed(name)) == ({"keeps-utility"} if name in LONG_REPAIR else set())


@pytest.mark.parametrize("name", ["original", "retrain"])
def test_control_rows_have_nothing_to_conform_to(name: str) -> None:
    with pytest.raises(BenchError, match="is a control row"):
        subject(name)


@pytest.fixture
def larger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kit on ResNet-18, for a test alone."""
    for module in (toy_task, real_trial):
        monkeypatch.setattr(module, "NETWORK", "resnet18-v1")
    for kept in (toy_task.toy_task, subject):
        kept.cache_clear()
    yield
    for kept in (toy_task.toy_task, subject):
        kept.cache_clear()


FEWER = {"fisher": "fisher[examples=6]", "influence": "influence[examples=6]"}  # who look at images one by one, for 20 minutes


@pytest.mark.slow
@pytest.mark.usefixtures("larger")
@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_conforms_on_a_larger_network(name: str) -> None:
    """But for utility, which two epochs over 96 images of a network of that size do not tell."""
    assert _failed(FEWER.get(name, name)).keys() <= {"keeps-utility"}


CORRECT = {
    "draws-nothing": '''
@dataclass(frozen=True)
class Whole(Method):
    """Source: nobody 2026. Takes the splits as they are."""

    stackable: ClassVar[bool] = True
    deterministic: ClassVar[bool] = True

    def unlearn(self, model, data, trial):
        optimizer = SGD(model.parameters(), 1e-3)
        for split, sign in ((data.forget, -1), (data.retain, 1)):
            for images, labels in split.batches(32, shuffle=False):
                step(optimizer, sign * cross_entropy(model(images), labels))
        return model
''',
    "fresh-network": '''
@dataclass(frozen=True)
class Fresh(Method):
    """Source: nobody 2026. Distils into a new network, on any number of models."""

    stackable: ClassVar[bool] = True
    in_place: ClassVar[bool] = False

    def unlearn(self, model, data, trial):
        student = trial.fresh_model()
        optimizer = SGD(student.parameters(), 0.05, momentum=0.9)
        for images, labels in data.retain.epochs(8, 32):
            step(optimizer, cross_entropy(student(images), labels))
        for images, _ in data.forget.batches(32):
            logits = student(images)
            step(optimizer, 0.1 * kl_divergence(torch.zeros_like(logits), logits))
        return student
''',
    "looks-for-modules": '''
import importlib
import importlib.metadata


@dataclass(frozen=True)
class Late(Method):
    """Source: nobody 2026."""

    def unlearn(self, model, data, trial):
        importlib.invalidate_caches()
        importlib.metadata.version("torch")
        return train(model, data)
''',
    "pruned-in-contiguous-memory": '''
@dataclass(frozen=True)
class Pruned(Method):
    """Source: nobody 2026."""

    def unlearn(self, model, data, trial):
        from torch.nn.utils import prune

        model.to(memory_format=torch.contiguous_format)
        layer = model.fc
        prune.l1_unstructured(layer, "weight", 0.1)
        prune.remove(layer, "weight")
        return train(model, data)
''',
}
STARTING_KIT = '''
import copy

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def unlearning(net, retain_loader, forget_loader, val_loader):
    """Fine-tune a copy. Source: the starting kit of the NeurIPS 2023 challenge."""
    model = copy.deepcopy(net)
    model.conv1.weight.view(-1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    for batch in retain_loader:
        images, labels = batch.get("image").to(DEVICE), batch.get("age_group").to(DEVICE)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval()
'''


@pytest.mark.parametrize("name", CORRECT)
def test_unusual_and_correct_methods_conform(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text(HEAD + CORRECT[name])
    assert _failed(str(tmp_path / f"{name}.py")) == {}


def test_a_function_of_the_challenge_conforms_unchanged(tmp_path: Path) -> None:
    (tmp_path / "kit.py").write_text(STARTING_KIT)
    assert _failed(f"{tmp_path / 'kit.py'}:unlearning") == {}


def test_the_readmes_method_conforms(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    (tmp_path / "my_method.py").write_text(readme.partition("```python\n")[2].partition("```")[0])
    assert _failed(str(tmp_path / "my_method.py")) == {}


def test_a_failure_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        HEAD + '@dataclass(frozen=True)\nclass Raises(Method):\n    """2026"""\n\n    def unlearn(self, model, data, trial):\n'
    )
    (tmp_path / "raises.py").write_text(source + '        raise ValueError("no")\n')
    line = len(source.splitlines()) + 1
    assert _failed(str(tmp_path / "raises.py")) == {"runs": f"ValueError: no (raises.py, line {line})"}
    monkeypatch.setenv("BENCH_STRICT", "1")
    with pytest.raises(ValueError, match="no"):
        _failed(f"{tmp_path / 'raises.py'}:Raises")
