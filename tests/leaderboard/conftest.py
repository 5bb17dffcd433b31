"""Stores as the engine would write them, with runs and names of strangers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.metrics.installed import installed_metrics
from bench.metrics.memory_order import Parts
from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.scoring.scorecard import Control, Measure, Presentation, Scorecard, Section, keep_scorecard, presentations
from bench.store.archives import pack
from bench.store.files import write_bytes, write_record
from bench.store.method_records import MethodRecord, PaperRecord
from bench.store.records import DeviceRecord, Failed, Finished, RunRecord, TaskRecord, Timed
from bench.store.runs import Run
from bench.store.store import Store

HOSTILE = "</script><script>alert(1)</script><b>&\"'"
PutRun = Callable[..., None]


@pytest.fixture(scope="session")
def put_run() -> PutRun:
    """Write a run: `put_run(store, name, final, control=, models=, failure=, late=, spec=, left=, uneven=)`."""
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
    left: float | None = None,
    uneven: bool = False,
) -> None:
    """Write a run's record and scorecard as the engine would."""
    folder = store / "runs" / f"run-{hashlib.sha256(f'{name}{spec}{models}'.encode()).hexdigest()[:12]}"
    trials = tuple(range(models))
    method = MethodRecord(
        name=name,
        spec=spec or name,
        summary=HOSTILE,
        documentation=HOSTILE,
        paper=PaperRecord(title=HOSTILE, authors=HOSTILE, venue="ICML", year=2025, url="https://example.org/paper"),
        cost=HOSTILE,
        deterministic=True,
        reconstruction=HOSTILE,
        certificate=HOSTILE,
        control=control,
        distribution="somebody",
        version="1",
        hyper_parameters={"rate": 1.0},
        source_hash="0" * 64,
        reference_models=tuple(range(16, 32)) if control else (),
    )
    slow = [_finished(folder, trials[:2], seconds=200.0)] if uneven else []
    record = RunRecord(
        method=method,
        task=TaskRecord(name="age-synthetic", key="f" * 64),
        reference_id="a" * 16,
        models=models,
        budget="20%",
        seed=0,
        device=DeviceRecord(kind="cpu", processor="test"),
        chunks=()
        if control
        else (Failed(trials=trials, failure=failure) if failure else _finished(folder, trials[2 * uneven :]), *slow),
        secret="0" * 32,
        retraining_seconds=5.0,
        allowance_seconds=1.0,
    )
    for _ in range(0 if control else 3):
        record = msgspec.structs.replace(record, timed=(*record.timed, _timed(folder, record.next_timed, 2.0 if late else 0.5)))
    write_record(folder / "run.json", record)
    if not failure:
        keep_scorecard(Run(folder, record), _scorecard(final, 1 - 5 * final if left is None else left, control=control))


def _finished(folder: Path, trials: tuple[int, ...], seconds: float = 8.0) -> Finished:
    name = f"outputs-{trials[0]:04d}.npz"
    return Finished(trials=trials, file=name, sha256=write_bytes(folder / name, _outputs(len(trials))), seconds=seconds)


def _timed(folder: Path, trial: int, seconds: float) -> Timed:
    digest = write_bytes(folder / f"timed-{trial:04d}.npz", _outputs(1))
    return Timed(trial=trial, file=f"timed-{trial:04d}.npz", sha256=digest, seconds=seconds, retraining=(5.0, 5.0))


def _measure(value: float, unit: str = "share", **rest: object) -> Measure:
    return Measure(value=value, unit=unit, better="lower" if unit == "seconds" else "higher", **rest)


def _scorecard(final: float, left: float, *, control: bool) -> Scorecard:
    names = ("retain_accuracy", "test_accuracy", "forget_accuracy", "p_value", "ulira_auc")
    measures = {name: _measure(0.92, retrained=0.95, relative=0.92 / 0.95) for name in names}
    interval = (final - 0.004, final + 0.004)
    measures["final_score"] = measures["forgetting_score"] = _measure(final, "score", interval=interval, retrained=0.18)
    if not control:
        measures |= {name: _measure(1.0, "seconds") for name in ("runtime", "runtime_share", "budget_share")}
    resamples = [float(final + 0.002 * np.sin(index + 100 * final)) for index in range(200)]
    details = {"epsilons": [0.1, None], "resampled_final_score": resamples, **_curves()}
    measures |= {f"group_accuracy.{group}": _measure(0.5 + group / 10, retrained=0.6) for group in range(3)}
    flags = {"near-constant": f"seen: {HOSTILE}"}
    controls = {"unseen": Control(value=0.6, retrained=0.5), HOSTILE: Control(value=0.7)}
    measures["ulira_auc"] = _measure(0.9, retrained=0.95, controls=controls)
    about = {"quantities": _quantities(), "flags": flags, "details": details, "notes": [f"noted: {HOSTILE}"]}
    section = Section(version=1, measures=measures, **about)
    others = {name: Section(version=1) for name in ("flags", "timed-trials", "utility")}
    return Scorecard(sections={"challenge": section, "memory-left": _memory_left(left), **others})


def _memory_left(left: float) -> Section:
    ends = (left - 0.02, left + 0.02)
    measure = Measure(value=left, unit="of the original's", better="as retrained", retrained=0.0, original=1.0, interval=ends)
    wave = [0.002 * float(np.sin(index + 100 * left)) for index in range(16)]
    parts = {
        "trials": wave,
        "forgotten": wave[:5],
        "strangers": wave[5:10],
        "noise": [0.0, 0.0],
        "retrained": [1 - left, 0.0, 0.0, 0.0],
    }
    details = {name: parts[part] for part, name in Parts.NAMES.items()}
    return Section(version=2, measures={"memory_left": measure}, quantities=_quantities(), details=details)


@cache
def _quantities() -> dict[str, Presentation]:
    """How numbers are shown, as our metrics say."""
    return {name: about for item in installed_metrics()[0] for name, about in presentations(item.metric).items()}


def _curves() -> dict[str, list[float]]:
    rates, edges = np.logspace(-3, 0, 31), np.logspace(-5, 2, 43)
    curves = {"false_positive_rates": rates, "loss_edges": edges, "ulira_roc.unlearned": rates**0.5, "rmia_roc.unlearned": rates}
    curves |= {f"{split}_loss.{side}": edges[:-1] for split in ("forget", "test") for side in ("unlearned", "retrained")}
    return {name: [float(value) for value in curve] for name, curve in curves.items()}


def _outputs(models: int) -> bytes:
    logits = dict.fromkeys(OUTPUT_SPLITS, np.zeros((models, 1, 4), dtype=np.float32))
    return pack(Outputs(logits, np.ones(models)))


@pytest.fixture
def store(put_run: PutRun, tmp_path: Path) -> Path:
    path = tmp_path / "store"
    Store(path).prepare()
    put_run(path, "good", 0.08)
    put_run(path, "better", 0.09)
    put_run(path, HOSTILE, 0.01)
    put_run(path, "slow", 0.5, left=0.05, late=True)
    put_run(path, "retrain", 0.19, control=True)
    put_run(path, "failed", 0.0, failure=f"RuntimeError: {HOSTILE}")
    return path
