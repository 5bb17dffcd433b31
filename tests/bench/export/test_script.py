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
import copy, os, sys, traceback
from pathlib import Path
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)

class Dicts(TensorDataset):
    def __getitem__(self, row):
        image, label = super().__getitem__(row)
        return {"image": image, "age_group": label, "image_id": str(row)}

def loader(size, kind=TensorDataset):
    return DataLoader(kind(torch.rand(size, 3, 16, 16), torch.arange(size) % 4), batch_size=16, shuffle=True)

def use():
    import submission

    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Conv2d(inputs, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()) for inputs in (3, 8)]
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    loaders = loader(160), loader(80, Dicts), loader(24)  # some batches for every method: one alone differs by rounding only
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

for folder in sys.argv[1:]:  # each in a process of its own, and torch is imported once
    process = os.fork()
    if process == 0:
        os.chdir(folder)
        sys.path.insert(0, folder)
        try:
            use()
            Path("said.txt").write_text("well")
        except BaseException:
            Path("said.txt").write_text(traceback.format_exc())
        os._exit(0)
    os.waitpid(process, 0)
"""
SHIPPED = [plugin.name for plugin in discovery.plugins(discovery.METHODS) if plugin.name not in ("original", "retrain")]
TRIED = (
    "amun",
    "cup",
    "finetune",
    "fisher",
    "kookmin",
    "noise-injection",
    "salun",
    "scrub-r",
    "sfr-on",
    "unsir",
)  # each needs other parts
METHODS = [pytest.param(name, marks=() if name in TRIED else pytest.mark.slow) for name in SHIPPED]
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


@pytest.fixture(scope="module")
def used(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of using each script: those of the shipped methods, and that of a file with hyper-parameters."""
    base = tmp_path_factory.mktemp("scripts")
    (base / "mine.py").write_text(FILE)
    methods = SHIPPED if "slow" in request.config.option.markexpr.replace("not slow", "") else TRIED
    for name, text in {**{name: name for name in methods}, "a file": f"{base / 'mine.py'}[rate=0.2]"}.items():
        spec = specs.parse(text)
        (base / name).mkdir()
        (base / name / "submission.py").write_text(challenge_script(discovery.find_method(spec.plugin), spec))
    folders = [path for path in base.iterdir() if path.is_dir()]
    subprocess.run([sys.executable, "-c", USE, *map(str, folders)], cwd=base, check=True)
    return {folder.name: (folder / "said.txt").read_text() for folder in folders}


@pytest.mark.process
@pytest.mark.parametrize("name", [*METHODS, "a file"])
def test_every_method_can_be_submitted(used: dict[str, str], name: str) -> None:
    assert used[name] == "well"


@pytest.mark.parametrize(("source", "message"), [("", "is a control row"), ("function", "submit its file")])
def test_what_cannot_be_submitted(tmp_path: Path, source: str, message: str) -> None:
    name = "retrain"
    if source:
        (tmp_path / "f.py").write_text("def unlearning(net, retain_loader, forget_loader, val_loader):\n    pass\n")
        name = str(tmp_path / "f.py")
    with pytest.raises(BenchError, match=message):
        challenge_script(discovery.find_method(name), specs.Spec(name, {}))
