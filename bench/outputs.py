"""What models answer on the splits. Metrics are computed from outputs and from nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.seeds import numpy_generator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]  # by name

OUTPUT_SPLITS = ("forget", "test", "validation", "retain_sample", "forget_people", "unseen")
RETAIN_ACCURACY = "retain_accuracy"


def retain_sample_rows(retain: int, test: int) -> NDArray[np.int64]:
    """Which retain examples outputs keep: as many as the test split has, the same for every model of a task."""
    return np.sort(numpy_generator(0, "data", 0).choice(retain, min(retain, test), replace=False))


@dataclass(frozen=True)
class Outputs:
    """Answers of M models."""

    logits: Mapping[str, NDArray[np.float32]]  # split -> [M, n, K]
    retain_accuracy: NDArray[np.float64]  # [M], on the whole retain split

    def __len__(self) -> int:
        return len(self.retain_accuracy)

    def select(self, models: Sequence[int]) -> Outputs:
        """The outputs of the given models, in that order; one may come several times."""
        rows = np.asarray(models, dtype=np.int64)
        return Outputs({name: logits[rows] for name, logits in self.logits.items()}, self.retain_accuracy[rows])

    def digest(self) -> str:
        """SHA-256 of all numbers."""
        digest = hashlib.sha256()
        for name in sorted(self.logits):
            digest.update(f"{name}{self.logits[name].shape}".encode() + np.ascontiguousarray(self.logits[name]).tobytes())
        digest.update(np.ascontiguousarray(self.retain_accuracy).tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The outputs as named arrays, for storing and sending."""
        return {**self.logits, RETAIN_ACCURACY: self.retain_accuracy}


def first_not_finite(outputs: Outputs) -> str:
    """Where the first NaN or infinity is, model first; "" if there is none."""
    for split, logits in outputs.logits.items():
        bad = np.argwhere(~np.isfinite(logits))
        if len(bad):
            model, example, group = bad[0]
            return f"{model} answers {logits[model, example, group]} for example {example} of {split}"
    bad = np.argwhere(~np.isfinite(outputs.retain_accuracy))
    return f"{bad[0][0]} has no retain accuracy" if len(bad) else ""


def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Outputs:
    """The inverse of `Outputs.arrays`."""
    return Outputs({name: arrays[name].astype(np.float32) for name in OUTPUT_SPLITS}, arrays[RETAIN_ACCURACY].astype(np.float64))


def concatenate(parts: Sequence[Outputs]) -> Outputs:
    """The models of all parts, in order."""
    logits = {name: np.concatenate([part.logits[name] for part in parts]) for name in OUTPUT_SPLITS}
    return Outputs(logits, np.concatenate([part.retain_accuracy for part in parts]))
