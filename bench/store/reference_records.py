"""The record of a reference: every field that a stranger could fill has a type, a size and a pattern."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from bench.metrics.metric import Baseline
from bench.store.fields import MANY, Line, Lines, OptionalDeviceKind, OptionalName, Positive, PositiveSeconds, Record, Sha256

REFERENCE_FILE = r"(labels\.npz|original\.(npz|safetensors)|retrained-[0-9]{4,}-[0-9]{4,}\.npz)"

ReferenceFile = Annotated[str, Meta(pattern=rf"\A{REFERENCE_FILE}\Z", max_length=100)]


def whole_chunks(indices: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """The whole chunks that hold the given retrained models: chunk k is k*size..(k+1)*size-1, whatever is asked for.

    >>> whole_chunks([3, 4], 4)
    [(0, 1, 2, 3), (4, 5, 6, 7)]
    """
    starts = sorted({index // size * size for index in indices})
    return [tuple(range(start, start + size)) for start in starts]


class ReferenceTask(Record, frozen=True, kw_only=True):
    """The task of a reference."""

    name: OptionalName
    key: Sha256
    forget_set: Line = ""


class KeptBaseline(Record, frozen=True, kw_only=True):
    """What a version of a metric said of retrained models and of the original one."""

    version: int
    baseline: Baseline
    further: int = 0  # sets of further retrained models that it was asked about


class ReferenceRecord(Record, frozen=True, kw_only=True):
    """`reference.json`: which files a reference consists of, and what was found out about it."""

    NAME: ClassVar[str] = "reference.json"
    RETRAINED: ClassVar[str] = "retrained-{0:04d}-{1:04d}.npz"

    files: Annotated[dict[ReferenceFile, Sha256], Meta(max_length=MANY)] = msgspec.field(default_factory=dict)
    shipped: frozenset[ReferenceFile] = frozenset()  # of the files, those that came with the package and lie there
    stack_size: Positive = 1
    task: ReferenceTask | None = None
    device: OptionalDeviceKind = ""
    environment: Lines = msgspec.field(default_factory=dict)
    retraining_times: Annotated[dict[str, PositiveSeconds], Meta(max_length=1000)] = msgspec.field(default_factory=dict)
    baselines: Annotated[dict[str, dict[str, KeptBaseline]], Meta(max_length=1000)] = msgspec.field(default_factory=dict)

    @classmethod
    def retrained_file(cls, chunk: Sequence[int]) -> str:
        """Where the outputs of a chunk of retrained models are."""
        return cls.RETRAINED.format(chunk[0], chunk[-1])

    @property
    def available(self) -> int:
        """How many retrained models there are, counted from index 0."""
        return self._counted(self.files)

    @property
    def shipped_models(self) -> int:
        """How many of them came with the package."""
        return self._counted(self.shipped)

    def _counted(self, files: Container[str]) -> int:
        count = 0
        while self.retrained_file(range(count, count + self.stack_size)) in files:
            count += self.stack_size
        return count


def origin(models: int, shipped: int) -> str:
    """Where retrained models come from, in words.

    >>> origin(16, 16), origin(512, 128), origin(16, 0)
    ('shipped', '128 shipped, 384 own', 'trained here')
    """
    if 0 < shipped < models:
        return f"{shipped} shipped, {models - shipped} own"
    return "shipped" if shipped else "trained here"
