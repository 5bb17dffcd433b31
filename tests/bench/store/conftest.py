"""A run and a reference as strangers send them: plain JSON that can be read."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.seeds import numpy_generator
from bench.store.files import DamagedFileError
from bench.store.records import RunRecord, Timed

TIMED = numpy_generator(0, "timing", 0).permutation(8).tolist()  # trials, as the secret has them
RUN = {
    "method": {
        "name": "m",
        "spec": "m[a=1]",
        "hyper_parameters": {"a": 1},
        "source_hash": "0" * 64,
        "control": False,
        "reference_models": [],
    },
    "task": {"name": "t", "key": "f" * 64},
    "reference_id": "a" * 16,
    "models": 8,
    "budget": "20%",
    "seed": 0,
    "device": {"kind": "cpu"},
    "retraining_seconds": 5.0,
    "allowance_seconds": 1.0,
    "chunks": [
        {"state": "pending", "trials": [0, 1, 2, 3]},
        {"state": "finished", "trials": [7, 6, 5, 4], "file": "outputs-0004.npz", "sha256": "0" * 64},
    ],
    "secret": "0" * 32,
    "timed": [
        {
            "state": "timed",
            "trial": TIMED[0],
            "seconds": 0.5,
            "retraining": [5.0, 5.0],
            "file": f"timed-{TIMED[0]:04d}.npz",
            "sha256": "0" * 64,
        }
    ],
}
REFERENCE = {
    "files": {"labels.npz": "0" * 64, "retrained-0000-0007.npz": "1" * 64},
    "retraining_times": {"cpu": 5.0},
    "baselines": {"a" * 16: {"klom": {"version": 1, "baseline": {"retrained": {"klom": {"value": 0.5, "sd": None}}}}}},
    "stack_size": 8,
}


@pytest.fixture
def timed() -> Callable[..., tuple[Timed, ...]]:
    """Timed trials of such a run that took so many seconds."""

    def make(*seconds: float) -> tuple[Timed, ...]:
        files = [f"timed-{trial:04d}.npz" for trial in TIMED]
        return tuple(
            Timed(trial=trial, seconds=each, retraining=(5.0, 5.0), file=file, sha256="0" * 64, phases={"method": each})
            for trial, each, file in zip(TIMED, seconds, files, strict=False)
        )

    return make


@pytest.fixture
def run_fields() -> dict[str, Any]:
    return deepcopy(RUN)


@pytest.fixture
def reference_fields() -> dict[str, Any]:
    return deepcopy(REFERENCE)


@pytest.fixture
def run_record() -> RunRecord:
    return msgspec.convert(RUN, RunRecord)


@pytest.fixture
def outputs() -> Callable[..., Outputs]:
    """Outputs of so many models, which differ with the seed."""

    def draw(models: int, seed: int = 0) -> Outputs:
        rng = np.random.default_rng((models, seed))
        logits = {name: rng.normal(size=(models, 3, 4)).astype(np.float32) for name in OUTPUT_SPLITS}
        return Outputs(logits, rng.random(models))

    return draw


@pytest.fixture
def refused() -> Callable[..., str]:
    """Why a record cannot be read, in one line that can be printed."""

    def why(read: Callable[[dict[str, Any]], object], fields: dict[str, Any]) -> str:
        with pytest.raises(DamagedFileError) as caught:
            read(fields)
        message = str(caught.value)
        assert "\n" not in message
        assert message.isprintable()
        return message

    return why
