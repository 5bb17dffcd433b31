"""Exported scripts run without bench, on a network that bench did not build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.export.script import challenge_script
from bench.registry import discovery, specs

USE = """
import copy, sys
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import submission

torch.manual_seed(0)
torch.set_num_threads(1)
net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))

class Dicts(TensorDataset):
    def __getitem__(self, row):
        image, label = super().__getitem__(row)
        return {"image": image, "age_group": label, "image_id": str(row)}

def loader(size, kind=TensorDataset):
    return DataLoader(kind(torch.rand(size, 3, 16, 16), torch.arange(size) % 4), batch_size=16, shuffle=True)

loaders = loader(160), loader(24, Dicts), loader(24)  # some batches for every method: one alone differs by rounding only
done = []
for _ in range(2):
    given = copy.deepcopy(net)
    returned = submission.unlearning(given, *loaders)
    done.append((given if returned is None else returned).state_dict())
before = net.state_dict()
changed = [max(float((a - before[name]).abs().max()) for name, a in state.items() if a.dim()) for state in done]
assert all(changed), changed
assert all(tensor.isfinite().all() for state in done for tensor in state.values())
assert any(not torch.equal(a, b) for a, b in zip(done[0].values(), done[1].values())), "two calls are two trials"
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("bench", "bench_plugins", "mine")]
assert len(ours) > 5
assert all(module.__spec__.origin.startswith(submission.__file__) for module in ours)
"""
METHODS = [plugin.name for plugin in discovery.plugins(discovery.METHODS) if plugin.name not in ("original", "retrain")]
FILE = '''"""Mine."""
from dataclasses import dataclass
import torch
from bench import Method
from bench.losses import cross_entropy, step
from torch.optim import SGD


@dataclass(frozen=True)
class Mine(Method):
    """With a fresh network as teacher. Source: nobody 2026."""

    rate: float = 0.1
    cap: float = float("inf")

    def unlearn(self, model, data, trial):
        with torch.no_grad():
            for own, fresh in zip(model.parameters(), trial.fresh_model().parameters()):
                own.lerp_(fresh, 0.5)
        optimizer = SGD(model.parameters(), self.rate)
        for images, labels in data.retain.batches(32):
            step(optimizer, cross_entropy(model(images), labels).clamp(max=self.cap))
        return model
'''


def _use(tmp_path: Path, text: str) -> None:
    spec = specs.parse(text)
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "submission.py").write_text(challenge_script(discovery.find_method(spec.plugin), spec))
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, cwd=tmp_path / "script", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", METHODS)
def test_every_shipped_method_can_be_submitted(tmp_path: Path, name: str) -> None:
    _use(tmp_path, name)


def test_a_file_with_hyper_parameters_can_be_submitted(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    _use(tmp_path, f"{tmp_path / 'mine.py'}[rate=0.2]")


@pytest.mark.parametrize(("source", "message"), [("", "is a control row"), ("function", "submit its file")])
def test_what_cannot_be_submitted(tmp_path: Path, source: str, message: str) -> None:
    name = "retrain"
    if source:
        (tmp_path / "f.py").write_text("def unlearning(net, retain_loader, forget_loader, val_loader):\n    pass\n")
        name = str(tmp_path / "f.py")
    with pytest.raises(BenchError, match=message):
        challenge_script(discovery.find_method(name), specs.Spec(name, {}))
