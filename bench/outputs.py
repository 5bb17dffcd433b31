"""What models answer on the splits. Metrics are computed from outputs and from nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
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
NEEDED_ELSEWHERE = ("forget", "test")  # splits that models which were unlearned elsewhere must answer on


def retain_sample_rows(retain: int, test: int) -> NDArray[np.int64]:
    """Which retain examples outputs keep: as many as the test split has, the same for every model of a task."""
    return np.sort(numpy_generator(0, "data", 0).choice(retain, min(retain, test), replace=False))


class NoAnswersError(Exception):
    """Something that follows from answers which models that were unlearned elsewhere did not come with."""

    def __init__(self, split: str) -> None:
        super().__init__(f"needs answers on {split}, which these models came without")


class _Answers(dict[str, NDArray[np.float32]]):
    def __missing__(self, split: str) -> NDArray[np.float32]:
        raise NoAnswersError(split)


@dataclass(frozen=True)
class Outputs:
    """Answers of M models: on every split, unless they were unlearned elsewhere."""

    logits: Mapping[str, NDArray[np.float32]]  # split -> [M, n, K]
    on_retain: NDArray[np.float64] | None  # accuracy [M] on the whole retain split; None: not known

    def __post_init__(self) -> None:
        """Whoever asks for what is not there is told so, by a name that scoring knows."""
        object.__setattr__(self, "logits", _Answers(self.logits))

    def __len__(self) -> int:
        return len(next(iter(self.logits.values())) if self.on_retain is None else self.on_retain)

    @property
    def retain_accuracy(self) -> NDArray[np.float64]:
        """Accuracy [M] on the whole retain split.

        Raises:
            NoAnswersError: it is not known.
        """
        if self.on_retain is None:
            raise NoAnswersError("retain")
        return self.on_retain

    def select(self, models: Sequence[int]) -> Outputs:
        """The outputs of the given models, in that order; one may come several times."""
        rows = np.asarray(models, dtype=np.int64)
        retained = None if self.on_retain is None else self.on_retain[rows]
        return Outputs({name: logits[rows] for name, logits in self.logits.items()}, retained)

    def without(self, splits: Collection[str]) -> Outputs:
        """The outputs without those on some splits."""
        return Outputs({name: logits for name, logits in self.logits.items() if name not in splits}, self.on_retain)

    def digest(self) -> str:
        """SHA-256 of all numbers."""
        digest = hashlib.sha256()
        for name in sorted(self.logits):
            digest.update(f"{name}{self.logits[name].shape}".encode() + np.ascontiguousarray(self.logits[name]).tobytes())
        if self.on_retain is not None:
            digest.update(np.ascontiguousarray(self.on_retain).tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The outputs as named arrays, for storing and sending."""
        return {**self.logits, **({} if self.on_retain is None else {RETAIN_ACCURACY: self.on_retain})}


def first_not_finite(outputs: Outputs) -> str:
    """Where the first NaN or infinity is, model first; "" if there is none."""
    for split, logits in outputs.logits.items():
        bad = np.argwhere(~np.isfinite(logits))
        if len(bad):
            model, example, group = bad[0]
            return f"{model} answers {logits[model, example, group]} for example {example} of {split}"
    bad = np.argwhere(~np.isfinite([] if outputs.on_retain is None else outputs.on_retain))
    return f"{bad[0][0]} has no retain accuracy" if len(bad) else ""


def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Outputs:
    """The inverse of `Outputs.arrays`."""
    logits = {name: arrays[name].astype(np.float32) for name in OUTPUT_SPLITS if name in arrays}
    return Outputs(logits, arrays[RETAIN_ACCURACY].astype(np.float64) if RETAIN_ACCURACY in arrays else None)


def concatenate(parts: Sequence[Outputs]) -> Outputs:
    """The models of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    logits = {name: np.concatenate([part.logits[name] for part in parts]) for name in OUTPUT_SPLITS}
    return Outputs(logits, np.concatenate([part.retain_accuracy for part in parts]))
