"""Every trial works in a folder of its own: what one leaves there no other finds, nor the user."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest

HEAD = '''"""A plugin for tests of folders."""
import multiprocessing
import os
import tempfile
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from bench import Method

IMPORTED_IN = os.listdir()


class Plugin(Method):
    """Source: nobody 2026."""

    def unlearn(self, model, data, trial):
'''
BODIES = {
    "saves": """
assert os.listdir() == IMPORTED_IN == []
assert os.path.samefile(tempfile.gettempdir(), os.getcwd())
torch.save(model.state_dict(), "best.pth")
Path("lightning_logs/version_0").mkdir(parents=True)
Path("lightning_logs/version_0/metrics.csv").write_text("loss")
tempfile.NamedTemporaryFile(delete=False).close()
model.load_state_dict(torch.load("best.pth"))
""",
    "has-workers": """
loader = DataLoader(TensorDataset(data.retain.images, data.retain.labels), 32, num_workers=2)
assert sum(len(labels) for _, labels in loader) == len(data.retain)
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, [-1, 2]) == [1, 2]
""",
    "keeps-helpers": """
from concurrent.futures import ThreadPoolExecutor
from joblib import Parallel, delayed
pool = ThreadPoolExecutor(1)
assert pool.submit(abs, -1).result() == 1
assert Parallel(n_jobs=2)(delayed(abs)(number) for number in (-1, 2)) == [1, 2]
queue = multiprocessing.Queue()
queue.put(1)
assert queue.get() == 1
""",
}
END = """
with torch.no_grad():
    model.fc.bias.add_(trial.normal_like(model.fc.bias), alpha=0.1)
return model
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a command keeps temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.skipif(
    "coverage" in sys.modules, reason="its forks of forks die of signal 11 on Python 3.13; other environments run it"
)
def test_nobody_finds_what_a_trial_leaves(run, copied, temporary: Path, tmp_path: Path, name: str) -> None:
    body = "".join(f"        {line}\n" for line in (BODIES[name] + END).strip().splitlines())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "plugin.py").write_text(HEAD + body)
    asked = ("--plugin", "plugin.py", "--budget", "100s", "--store", copied.path, "--json")
    row = next(row for row in json.loads(run(*asked, cwd=tmp_path / "mine").stdout) if row["method"]["name"] == "plugin")
    assert not row["failure"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["plugin.py"]
    assert {path.name for path in temporary.iterdir()} <= {"bench-cpu.door", "bench-cpu.room"}


def test_a_long_name_of_the_folder_for_temporary_files(
    installed, copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets in it would have longer names than the system takes."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    said = installed("run", "--plugin", "finetune", "--seed", 1, "--task", "age-tiny", "--models", 8, "--store", copied.path)
    assert "finetune" in said.stdout
