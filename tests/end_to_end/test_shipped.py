"""The reference that comes with the package is one that this machine could have trained."""

from __future__ import annotations

import json
import math
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from bench.metrics.confidence import logit_scaled_confidence
from bench.metrics.distinguishability import exchanged_distances, p_value
from bench.metrics.forgetting import forgetting_score
from bench.metrics.installed import installed_metrics
from bench.metrics.metric import Baseline
from bench.scoring.scorer import Scorer
from bench.scoring.verification import TOLERANCE
from bench.store import shipped
from bench.store.reference_records import ReferenceTask
from bench.store.references import Reference
from bench.store.store import Store
from bench.tasks.variants import load_task

SHIPPED, FRESH, TIMES = 128, 32, 3
LEVEL = 0.05 / TIMES  # each of so many comparisons, together 5 %


def test_a_first_run_trains_nothing(bench, tmp_path: Path) -> None:
    done = bench("run", "--plugin", "original", "--models", 8, "--store", tmp_path)
    assert ", reference shipped\n" in done.stdout
    assert "retrained models" not in done.stderr
    assert not list(tmp_path.glob("references/*/*/*.npz"))
    shown = bench("reference", "show", "--store", tmp_path).stdout
    assert f"cpu: {SHIPPED} retrained models (shipped)" in shown


def numbers(baseline: Baseline) -> dict[tuple[str, ...], float]:
    """All that a metric says, by where it says it; NaN for what it does not know."""
    found: dict[tuple[str, ...], float | None] = {}
    for side, estimates in (("retrained", baseline.retrained), ("original", baseline.original)):
        for name, estimate in estimates.items():
            found |= {(side, name, "value"): estimate.value, (side, name, "sd"): estimate.sd}
    for name, values in baseline.details.items():
        found |= {(name, str(index)): value for index, value in enumerate(values)}
    return {where: math.nan if value is None else value for where, value in found.items()}


@pytest.mark.parametrize("models", [16, 64, SHIPPED])
def test_what_metrics_say_of_it_is_what_they_say_today(models: int, tmp_path: Path) -> None:
    """Whoever changes a metric makes it again, as CONTRIBUTING says. At 16 models all of it is computed once more."""
    task, reference = load_task("age-synthetic"), Reference(tmp_path)
    reference.look_at_shipped(ReferenceTask(name=task.name, key=task.key), "cpu")
    identifier = reference.identifier(models)
    scorer = Scorer(reference, models, identifier)
    metrics = [item for item in installed_metrics()[0] if type(item.metric).__module__.startswith("bench.")]
    assert len(metrics) >= 15
    for item in metrics:
        came = reference.kept_baseline(identifier, item.name)
        assert came, item.name
        assert came.version == item.metric.version, item.name
        if models == 16:
            today = scorer._computed(item.metric).baseline
            assert numbers(came.baseline) == pytest.approx(numbers(today), rel=TOLERANCE, abs=1e-9, nan_ok=True), item.name


@pytest.fixture
def pack(pristine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference of `age-tiny` that comes with the package."""
    (folder,) = Store(pristine.path).reference_folders()
    shutil.copytree(folder, tmp_path / "packs" / "age-tiny")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "packs")


def test_training_can_be_asked_for_and_a_lost_file_alone_is_trained_again_with_the_same_numbers(
    bench, pack, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    build = ("reference", "build", "--task", "age-tiny", "--models", 1, "--store", store)
    assert "16 of them shipped" in bench(*build[:-1], tmp_path / "other").stdout
    done = bench(*build, "--reference", "train")
    assert "8 retrained models in " in done.stdout
    assert ", 0 of them shipped" in done.stdout
    assert "(trained here)" in bench("reference", "show", "--task", "age-tiny", "--store", store).stdout
    (record,) = store.glob("references/*/cpu/reference.json")
    before = json.loads(record.read_text())["files"]
    for name in ("original.npz", "original.safetensors"):
        (record.parent / name).unlink()
    (retrained,) = record.parent.glob("retrained-*.npz")
    written = retrained.stat().st_mtime_ns
    assert ", 0 of them shipped" in bench(*build).stdout  # what was trained here wins
    assert json.loads(record.read_text())["files"] == before
    assert retrained.stat().st_mtime_ns == written


@pytest.mark.slow
def test_models_trained_here_cannot_be_told_from_it(bench, tmp_path: Path) -> None:
    """docs/evidence/trust.md has the figures."""
    bench("reference", "build", "--models", SHIPPED + FRESH * TIMES, "--store", tmp_path)
    (folder,) = Store(tmp_path).reference_folders()
    reference = Reference(folder)
    assert reference.record.shipped_models == SHIPPED
    labels = reference.labels()["forget"]

    def confidence(first: int) -> np.ndarray:
        return logit_scaled_confidence(reference.retrained(range(first, first + FRESH)).logits["forget"], labels)

    theirs = [confidence(start) for start in range(0, SHIPPED, FRESH)]
    fresh = [confidence(SHIPPED + FRESH * time) for time in range(TIMES)]
    chances = [p_value(exchanged_distances(one, other)) for one, other in zip(fresh, theirs, strict=False)]
    across = [forgetting_score(one, other) for one in fresh for other in theirs]
    within = [forgetting_score(one, other) for one, other in combinations(theirs, 2)]
    print(f"\np-values {chances}; scores against the pack {across}, within the pack {within}")
    assert min(chances) > LEVEL
    assert abs(np.mean(across) - np.mean(within)) < 2 * np.std(within, ddof=1)
