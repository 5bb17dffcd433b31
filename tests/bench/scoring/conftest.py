"""Rows with the numbers that ranks and gates look at."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from msgspec import structs

from bench.metrics.memory_order import Parts
from bench.scoring.rows import Row
from bench.scoring.scorecard import Measure, Scorecard, Section
from bench.store.method_records import MethodRecord
from bench.store.records import DeviceRecord, Killed, RunRecord, TaskRecord

NAMES = Parts.NAMES


class MakeRow(Protocol):
    """A row of its final score, the score's resamples, and memory left, by itself."""

    def __call__(self, name: str, final: float, replicates: np.ndarray, *, left: float = 0.5, **about: object) -> Row: ...


def parts(left: float, seed: int = 0, sd: float = 0.01) -> dict[str, list[float]]:
    """Memory left whose doubt, of its own, is about `sd`."""
    rng = np.random.default_rng([seed, round(abs(left) * 1e6)])
    drawn = {
        "trials": rng.normal(size=64) * sd,
        "forgotten": rng.normal(size=40) * sd / 9,
        "strangers": rng.normal(size=40) * sd / 9,
    }
    return {NAMES[name]: values.tolist() for name, values in drawn.items()} | {
        NAMES["noise"]: [0.0, 0.0],
        NAMES["retrained"]: [1 - abs(left), sd**2 / 99, 0.0, 0.0],
    }


def make_row(
    name: str,
    final: float,
    replicates: np.ndarray,
    *,
    left: float | None = 0.5,
    doubt: float = 0.01,
    late: bool = False,
    kept: tuple[float, float] = (1.0, 1.0),
    **changes: object,
) -> Row:
    record = RunRecord(
        method=MethodRecord(name=name, spec=name, hyper_parameters={}, source_hash="0" * 64, control=False, reference_models=()),
        task=TaskRecord(name="t", key="f" * 64),
        reference_id="a" * 16,
        models=64,
        budget="20%",
        seed=0,
        device=DeviceRecord(kind="cpu"),
        chunks=(),
        timed=tuple(Killed(trial=trial, killed="", seconds=2.0 if late else 0.5, retraining=(5.0, 5.0)) for trial in range(3)),
        retraining_seconds=5.0,
        allowance_seconds=1.0,
    )
    scores = ("final_score", "forgetting_score")
    measures = {name: Measure(value=final, unit="score", better="higher", retrained=0.18) for name in scores}
    challenge = Section(version=1, measures=measures, details={"resampled_final_score": replicates.tolist()})
    accuracies = {
        f"{split}_accuracy": Measure(value=share, unit="share", better="higher", relative=share)
        for split, share in zip(("test", "retain"), kept, strict=True)
    }
    sections = {"challenge": challenge, "utility": Section(version=1, measures=accuracies)}
    sections |= {name: Section(version=1) for name in ("flags", "timed-trials")}
    if left is not None:
        memory = {
            "memory_left": Measure(value=left, unit="of the original's", better="as retrained", interval=(left - 0.1, left + 0.1))
        }
        sections["memory-left"] = Section(version=2, measures=memory, details=parts(left, len(name), doubt))
    return Row(Path(name), structs.replace(record, **changes), Scorecard(sections=sections), "")


@pytest.fixture(scope="session")
def a_row() -> MakeRow:
    return make_row
