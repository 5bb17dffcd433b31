"""Where the engine hands its results. It knows what a keeper does, not how: the store implements these protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.outputs import Outputs
from bench.progress import Note
from bench.store.records import Chunk, Measured, RunRecord, TimedTrial
from bench.store.reference_records import ReferenceRecord


class RunKeeper(Protocol):
    """One run as it grows; whatever it was told is kept when the call returns."""

    record: RunRecord

    def keep_printed(self, text: bytes) -> None:
        """Its plugin has printed something; may be called at any time and from any thread."""

    def keep_outputs(self, trials: Sequence[int], outputs: Outputs, measured: Measured, wall_seconds: float) -> None:
        """A chunk is finished."""

    def take_over(self, name: str) -> None:
        """The trials of another run, which are the same."""

    def keep_chunk(self, chunk: Chunk) -> None:
        """A chunk has another state."""

    def keep_secret(self, secret: str) -> None:
        """What decides which trials are timed."""

    def keep_times_of(self, record: RunRecord) -> None:
        """The timed trials are those of another state of its record, with their secret."""

    def keep_timed(self, timed: Sequence[TimedTrial]) -> None:
        """What is known of timed trials."""

    def keep_alone(self, trial: int, outputs: Outputs, measured: Measured) -> None:
        """One more has been timed."""

    def plan_again(self, stack_size: int, chunks: Sequence[Sequence[int]]) -> None:
        """All chunks start again in smaller stacks."""


class ReferenceKeeper(Protocol):
    """The reference of one task on one kind of device as it grows."""

    @property
    def has_labels(self) -> bool:
        """Whether the labels are kept."""

    @property
    def has_original(self) -> bool:
        """Whether the original model is."""

    def growing(self, about: ReferenceRecord, note: Note, *, shipped: bool) -> AbstractContextManager[None]:
        """To oneself, for as long as the block lasts; `shipped`: begin with what comes with the package, if it fits."""

    @property
    def shipped_models(self) -> int:
        """How many retrained models came with the package."""

    def has_retrained(self, chunk: Sequence[int]) -> bool:
        """Whether a chunk of retrained models is kept."""

    def labels(self) -> Mapping[str, NDArray[np.int64]]:
        """Labels of every output split."""

    def original_weights(self) -> dict[str, NDArray[Any]]:
        """Weights of the original model {name: [1, ...]}."""

    def identifier(self, models: int) -> str:
        """Hash of the original and the first retrained models."""

    def keep_labels(self, labels: dict[str, NDArray[np.int64]], identities: dict[str, NDArray[np.int64]]) -> None:
        """Labels of every output split, and who is on the examples of those of which the task knows."""

    def keep_original(self, weights: Mapping[str, NDArray[np.float32]], outputs: Outputs) -> None:
        """The original model is trained."""

    def keep_retrained(self, chunk: Sequence[int], outputs: Outputs) -> None:
        """A chunk of retrained models is."""

    def retraining_time(self, processor: str) -> float | None:
        """Seconds that one retraining takes; None: not measured."""

    def keep_retraining_time(self, processor: str, seconds: float) -> None:
        """That was measured; the least is kept, which is what a quiet machine takes."""


class Keeper(Protocol):
    """Keeps runs and references."""

    @property
    def closed(self) -> Sequence[Path]:
        """Folders to which no method has access."""

    def run(self, record: RunRecord, *, again: bool, note: Note) -> AbstractContextManager[RunKeeper]:
        """The run of a record's identity, found or made, to oneself for as long as the block lasts."""

    def with_same_trials(self, record: RunRecord) -> str | None:
        """The name of a complete run that differs from a record in nothing but its budget."""

    def kept_run(self, name: str, note: Note) -> AbstractContextManager[RunKeeper]:
        """A run that is kept, to oneself for as long as the block lasts."""

    def reference(self, task_key: str, device_kind: str, note: Note) -> ReferenceKeeper:
        """The reference of a task on a kind of device, which may be empty yet."""
