"""Answers of models that were unlearned elsewhere: which photos they are of, in which order, and how a file of them is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, one_line
from bench.outputs import NEEDED_ELSEWHERE, OUTPUT_SPLITS, Integers, Outputs, retain_sample_rows
from bench.store.archives import read_npz, write_npz
from bench.store.files import LARGEST_FILE, read_bytes, write_bytes
from bench.tasks.task import Task, TaskData

RETAIN, SAMPLE = "retain", "retain_sample"
ROWS, LABELS, IMAGES = "rows", "labels", "images"  # beside the splits in a file of rows
NOT_PROBABILITIES = 1e-3  # by how much a row of logits must miss a sum of 1, or be negative
_HOW = "write it with numpy.savez(FILE, forget=..., test=..., ...), as docs/guide/elsewhere.md does"


def output_rows(data: TaskData) -> dict[str, Integers]:
    """Which photos of a task outputs are of, by output split."""
    rows = {name: data.splits[name] for name in OUTPUT_SPLITS if name != SAMPLE}
    retain = data.splits[RETAIN]
    return {**rows, SAMPLE: retain[retain_sample_rows(len(retain), len(rows["test"]))]}


@dataclass(frozen=True)
class Rows:
    """The photos of a task that models answer for, in their order."""

    task: Task
    data: TaskData  # what the task loads

    @cached_property
    def splits(self) -> Mapping[str, Integers]:
        """Rows of the task's photos, by split; of those of `retain` accuracy and sample follow."""
        return {**output_rows(self.data), RETAIN: self.data.splits[RETAIN]}

    @property
    def digest(self) -> str:
        """SHA-256 of the task's key and of the rows of every split."""
        digest = hashlib.sha256(self.task.key.encode())
        for name in sorted(self.splits):
            digest.update(f"{name}{len(self.splits[name])}".encode() + np.ascontiguousarray(self.splits[name]).tobytes())
        return digest.hexdigest()

    def write(self, file: Path, *, images: bool) -> None:
        """Write rows by split, their digest, labels, and if asked for images of all photos, for `numpy.load`."""
        arrays: dict[str, NDArray[Any]] = {**self.splits, ROWS: np.array(self.digest), LABELS: self.data.labels}
        write_bytes(file, write_npz({**arrays, **({IMAGES: self.data.images} if images else {})}))

    def read(self, file: Path) -> tuple[Outputs, bool]:
        """Outputs of models from a file with the logits [N, examples, classes] of each split, and whether it names these rows.

        Raises:
            BenchError: it is something else, or of another task, or of photos in another order.
        """
        try:
            arrays = read_npz(content_of(file), texts=[ROWS])
        except ValueError as problem:
            raise BenchError(f"{file}: {one_line(str(problem))}; {_HOW}") from problem
        self._check_names(file, arrays)
        said = arrays.pop(ROWS, None)
        self._check_digest(file, said)
        self._check_shapes(file, arrays)
        return self._outputs({name: _logits(file, name, array) for name, array in arrays.items()}), said is not None

    def _check_names(self, file: Path, arrays: Mapping[str, object]) -> None:
        if odd := sorted(set(arrays) - {*self.splits, ROWS}):
            raise BenchError(f"{file}: {one_line(odd[0])} is no split; there are: {', '.join(self.splits)}")
        if absent := [name for name in NEEDED_ELSEWHERE if name not in arrays]:
            raise BenchError(f"{file} lacks {absent[0]}, without which nothing can be said of the models")

    def _check_digest(self, file: Path, said: NDArray[Any] | None) -> None:
        if said is None:
            return
        if said.dtype.kind != "U" or said.size != 1 or not (said == self.digest).all():
            raise BenchError(
                f"{file} is of other photos than {self.task.name} has, or in another order: its `{ROWS}` differ from those"
                f" that `bench tasks export-rows` writes for this task"
            )

    def _check_shapes(self, file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        """All splits have answers of the same models, an answer for each photo and a logit for each class."""
        first = arrays["forget"]
        models = len(first) if first.ndim == 3 else 0
        for name, array in arrays.items():
            expected = models, len(self.splits[name]), len(self.task.groups)
            if not models or array.shape != expected:
                shown = ", ".join(map(str, (models or "N", *expected[1:])))
                raise BenchError(
                    f"{file}: {name} is {list(array.shape)} where [{shown}] is expected: models, the photos that"
                    f" `bench tasks export-rows` names for {self.task.name}, and classes"
                )

    def _outputs(self, logits: dict[str, NDArray[np.float32]]) -> Outputs:
        """With what follows from the answers on `retain`, and the empty answers on splits that the task does not have."""
        models, accuracy = len(logits["forget"]), None
        if RETAIN in logits:
            retain = logits.pop(RETAIN)
            accuracy = (retain.argmax(-1) == self.data.labels[self.splits[RETAIN]]).mean(-1, dtype=np.float64)
            logits[SAMPLE] = retain[:, retain_sample_rows(retain.shape[1], len(self.splits["test"]))]
        for name in OUTPUT_SPLITS:
            if name not in logits and not len(self.splits[name]):
                logits[name] = np.zeros((models, 0, len(self.task.groups)), np.float32)
        return Outputs(logits, accuracy)


def content_of(file: Path) -> bytes:
    """What is in a file that somebody names.

    Raises:
        BenchError: it cannot be read, is no regular file, or is too large.
    """
    try:
        return read_bytes(file.resolve(), LARGEST_FILE)
    except OSError as problem:
        raise BenchError(f"{file} cannot be read: {problem.strerror or problem}") from problem


def _logits(file: Path, name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        logits: NDArray[np.float32] = array.astype(np.float32)
    if logits.size and not np.isfinite(logits).all():
        model, example, group = np.argwhere(~np.isfinite(logits))[0]
        raise BenchError(f"{file}: model {model} answers {logits[model, example, group]} for example {example} of {name}")
    if logits.size and logits.min() >= 0 and (np.abs(logits.sum(-1) - 1) < NOT_PROBABILITIES).all():
        raise BenchError(f"{file}: {name} has probabilities; logits are needed, or the logarithms of probabilities")
    return logits
