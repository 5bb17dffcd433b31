"""Stores as the engine would write them, with runs and names of strangers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.scorecard import Measure, Scorecard, Section
from bench.store import Store, write_bytes, write_record

HOSTILE = "</script><script>alert(1)</script><b>&\"'"
PutRun = Callable[..., None]


@pytest.fixture(scope="session")
def put_run() -> PutRun:
    """Write a run: `put_run(store, name, final, control=, models=, failure=, late=, spec=)`."""
    return _put_run


def _put_run(
    store: Path,
    name: str,
    final: float,
    *,
    control: bool = False,
    models: int = 16,
    failure: str = "",
    late: bool = False,
    spec: str = "",
) -> None:
    """Write a run's record and scorecard as the engine would."""
    folder = store / "runs" / f"run-{hashlib.sha256(f'{name}{spec}{models}'.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True)
    method = {"name": name, "spec": spec or name, "summary": HOSTILE, "documentation": HOSTILE, "control": control}
    method |= {"distribution": "somebody", "version": "1", "hyper_parameters": {"rate": 1.0}, "source_hash": "0" * 64}
    record = {
        "method": {**method, "reference_models": list(range(16, 32)) if control else []},
        "task": {"name": "age-synthetic", "key": "f" * 64},
        "reference_id": "a" * 16,
        "models": models,
        "budget": "20%",
        "seed": 0,
        "device": {"kind": "cpu", "processor": "test"},
        "chunks": [{"trials": list(range(models)), "failure": failure}] if failure else [],
        "solo": [] if control else [{"trial": models + n, "seconds": 2.0 if late else 0.5} for n in range(3)],
        "retraining_seconds": 5.0,
        "allowance_seconds": 1.0,
    }
    if not failure and not control:
        record["chunks"] = [{"trials": list(range(models))}]
    write_record(folder / "run.json", record)
    if not failure:
        _finish(folder, record, final, control)


def _finish(folder: Path, record: dict, final: float, control: bool) -> None:
    if not control:
        record["chunks"][0].update(
            file="outputs-0000.npz", sha256=write_bytes(folder / "outputs-0000.npz", _outputs(record["models"]))
        )
        write_record(folder / "run.json", record)
    names = ("retain_accuracy", "test_accuracy", "forget_accuracy", "p_value", "ulira_auc")
    measures = {name: Measure(0.9, "share", "higher", retrained=0.95, relative=0.9 / 0.95) for name in names}
    interval = (final - 0.004, final + 0.004)
    measures["final_score"] = measures["forgetting_score"] = Measure(final, "score", "higher", interval, retrained=0.18)
    if not control:
        measures |= {name: Measure(1.0, "seconds", "lower") for name in ("runtime", "runtime_share", "budget_share")}
    resamples = [final + 0.002 * np.sin(index + 100 * final) for index in range(200)]
    details = {"epsilons": [0.1, None], "resampled_final_score": resamples, **_curves()}
    groups = {f"group_accuracy.{group}": Measure(0.5 + group / 10, "share", "higher", retrained=0.6) for group in range(3)}
    measures |= groups
    section = Section(1, measures, {"near-constant": f"seen: {HOSTILE}"}, details)
    write_record(folder / "scorecard.json", Scorecard({"challenge": section}).record())


def _curves() -> dict[str, list[float]]:
    rates, edges = np.logspace(-3, 0, 31), np.logspace(-5, 2, 43)
    curves = {"false_positive_rates": rates, "loss_edges": edges, "ulira_roc.unlearned": rates**0.5, "rmia_roc.unlearned": rates}
    curves |= {f"{split}_loss.{side}": edges[:-1] for split in ("forget", "test") for side in ("unlearned", "retrained")}
    return {name: [float(value) for value in curve] for name, curve in curves.items()}


def _outputs(models: int) -> bytes:
    logits = dict.fromkeys(OUTPUT_SPLITS, np.zeros((models, 1, 4), dtype=np.float32))
    return Outputs(logits, np.ones(models)).to_npz()


@pytest.fixture
def store(put_run: PutRun, tmp_path: Path) -> Path:
    path = tmp_path / "store"
    Store(path).prepare()
    put_run(path, "good", 0.08)
    put_run(path, "better", 0.09)
    put_run(path, HOSTILE, 0.01)
    put_run(path, "slow", 0.5, late=True)
    put_run(path, "retrain", 0.19, control=True)
    put_run(path, "failed", 0.0, failure=f"RuntimeError: {HOSTILE}")
    return path
