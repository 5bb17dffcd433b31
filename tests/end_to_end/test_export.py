"""`bench export challenge`: the checkpoints are the models that `bench run` evaluates."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import torch

from bench.models.build import build
from bench.store.archives import unpack
from bench.store.runs import Run
from bench.tasks.variants import load_task

FAILING = """from bench import Method


class Failing(Method):
    def unlearn(self, model, data, trial):
        raise ValueError("no luck")
"""


def test_checkpoints_are_the_models_of_the_run(bench, filled, tmp_path: Path) -> None:
    out = tmp_path / "submission"
    made = ("--out", out, "--checkpoints", 8, "--store", filled.path)
    bench("export", "challenge", "--task", "age-tiny", "--plugin", "finetune", *made)
    assert "def unlearning(net, retain_loader, forget_loader, val_loader):" in (out / "submission.py").read_text()
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert sorted(archive.namelist()) == [f"unlearned_checkpoint_{index}.pth" for index in range(8)]
        states = [
            torch.load(io.BytesIO(archive.read(f"unlearned_checkpoint_{index}.pth")), weights_only=True) for index in (0, 5)
        ]
    folder = filled.path / "runs" / filled.rows["finetune"]["run"]
    chunk = next(chunk for chunk in Run.read(folder).record.finished_chunks if chunk.trials == tuple(range(8)))
    stored = unpack((folder / chunk.file).read_bytes()).logits["forget"]
    task = load_task("age-tiny")
    images = torch.from_numpy(task.load().split("forget")[0]).float() / 255
    for index, state in zip((0, 5), states, strict=True):
        model = build(task.network, len(task.groups)).eval()
        model.load_state_dict(state)
        with torch.no_grad():
            np.testing.assert_allclose(model(images).numpy(), stored[index], atol=1e-3)


def test_a_failing_method_leaves_no_zip(bench, filled, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    asked = ["--plugin", "failing.py", "--out", "out", "--checkpoints", 8, "--store", filled.path]
    told = bench("export", "challenge", "--task", "age-tiny", *asked, cwd=tmp_path, code=2).stderr
    assert "no luck" in told
    assert "Traceback" not in told
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["submission.py"]
