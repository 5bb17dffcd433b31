"""The records of runs and references: every field that a stranger could fill has a type, a size and a pattern."""

from __future__ import annotations

from collections.abc import Container, Sequence
from statistics import median
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from bench.metrics.metric import Baseline
from bench.store.fields import (
    MANY,
    ONE_LINE,
    Index,
    Line,
    Lines,
    Name,
    OptionalName,
    Positive,
    Record,
    Seconds,
    Sha256,
    Short,
    Text,
    Whole,
)

TIMED_TRIALS = 3  # that run once more alone, for their time
OUTPUTS_FILE = r"outputs-[0-9]{4,}\.npz"
REFERENCE_FILE = r"(labels\.npz|original\.(npz|safetensors)|retrained-[0-9]{4,}-[0-9]{4,}\.npz)"

SpecText = Annotated[str, Meta(max_length=10_000, pattern=ONE_LINE)]
ReferenceId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
PositiveSeconds = Annotated[float, Meta(gt=0, le=1e9)]
PhaseSeconds = Annotated[dict[Short, Seconds], Meta(max_length=20)]
Trials = Annotated[tuple[Index, ...], Meta(min_length=1, max_length=MANY)]
OutputsFile = Annotated[str, Meta(pattern=rf"\A{OUTPUTS_FILE}\Z", max_length=100)]
ReferenceFile = Annotated[str, Meta(pattern=rf"\A{REFERENCE_FILE}\Z", max_length=100)]


class StoreRecord(Record, frozen=True, kw_only=True):
    """`store.json`: which version the store is of."""


class MethodRecord(Record, frozen=True, kw_only=True):
    """The method of a run, and where it came from."""

    name: Name
    spec: SpecText
    hyper_parameters: Annotated[dict[str, Any], Meta(max_length=1000)]
    source_hash: Sha256
    control: bool
    reference_models: Annotated[tuple[Whole | None, ...], Meta(max_length=MANY)]  # of a control row
    distribution: OptionalName = ""
    version: OptionalName = ""
    summary: Line = ""
    documentation: Text = ""
    sources: Lines = msgspec.field(default_factory=dict)  # of the defaults of hyper-parameters
    stackable: bool = False
    uses_clock: bool = False

    @property
    def has_own_options(self) -> bool:
        """Whether hyper-parameters were given."""
        return "[" in self.spec


class TaskRecord(Record, frozen=True, kw_only=True):
    """The task of a run."""

    name: OptionalName
    key: Sha256
    groups: Annotated[tuple[OptionalName, ...], Meta(max_length=1000)] = ()
    forget_set: Line = ""
    remarks: Annotated[tuple[Line, ...], Meta(max_length=100)] = ()


class DeviceRecord(Record, frozen=True, kw_only=True):
    """What a run was computed on."""

    kind: Name  # `cpu` or the CUDA device's name
    processor: Line = ""


class Measured(Record, frozen=True, kw_only=True):
    """Time and memory of a chunk or of a timed trial."""

    phases: PhaseSeconds = msgspec.field(default_factory=dict)
    peak_memory: Whole = 0  # bytes; 0: not known; of the device, as its allocator counts; on a CPU, of the processes
    peak_host_memory: Whole = 0  # bytes


class Pending(Record, frozen=True, kw_only=True, tag_field="state", tag="pending"):
    """Trials that have not been run."""

    trials: Trials


class Finished(Measured, frozen=True, kw_only=True, tag_field="state", tag="finished"):
    """Trials whose outputs are in a file."""

    trials: Trials
    file: OutputsFile
    sha256: Sha256
    wall_seconds: Seconds = 0.0


class Failed(Record, frozen=True, kw_only=True, tag_field="state", tag="failed"):
    """Trials that failed together, and how many of them finish alone."""

    trials: Trials
    failure: Line
    kind: Short = "error"  # see `bench.errors.WorkerError`
    finished: Index = 0
    in_a_row: Index = 1  # trials that failed one after the other, the last ones that were tried


class Timed(Measured, frozen=True, kw_only=True, tag_field="state", tag="timed"):
    """A trial that ran once more alone, for its time."""

    trial: Whole
    seconds: Seconds


class Killed(Record, frozen=True, kw_only=True, tag_field="state", tag="killed"):
    """One that was killed after so many seconds: it is over budget either way."""

    trial: Whole
    seconds: Seconds
    killed: Line


class NotTimed(Record, frozen=True, kw_only=True, tag_field="state", tag="failed"):
    """One that failed."""

    failure: Line


Chunk = Pending | Finished | Failed
TimedTrial = Timed | Killed | NotTimed


class RunRecord(Record, frozen=True, kw_only=True):
    """`run.json`: N trials of one method on one task, under one budget, on one kind of device."""

    method: MethodRecord
    task: TaskRecord
    reference_id: ReferenceId
    shipped_models: Index = 0  # of the retrained models that it is compared with, how many came with the package
    models: Positive
    budget: Short
    seed: Annotated[int, Meta(ge=0)]
    device: DeviceRecord
    retraining_seconds: Seconds
    allowance_seconds: Seconds
    chunks: Annotated[tuple[Chunk, ...], Meta(max_length=MANY)]
    timed: Annotated[tuple[TimedTrial, ...], Meta(max_length=100)] = ()
    run: Annotated[str, Meta(max_length=300, pattern=ONE_LINE)] = ""
    created: Short = ""
    environment: Lines = msgspec.field(default_factory=dict)
    variants: Annotated[tuple[Index, ...], Meta(max_length=MANY)] = ()
    stack_size: Positive = 1
    backed_off: bool = False  # memory did not suffice for the usual stacks
    attempt: Whole = 0

    @property
    def complete(self) -> bool:
        """Whether every trial has outputs, and the trials to be timed are."""
        return len(self.finished_chunks) == len(self.chunks) and not self.untimed

    @property
    def finished_chunks(self) -> list[Finished]:
        """Those with outputs."""
        return [chunk for chunk in self.chunks if isinstance(chunk, Finished)]

    @property
    def finished_trials(self) -> int:
        """How many trials have outputs, or had them when they were run alone after the failure of their stack."""
        if self.method.control:
            return self.models
        alone = sum(chunk.finished for chunk in self.chunks if isinstance(chunk, Failed))
        return alone + sum(len(chunk.trials) for chunk in self.finished_chunks)

    @property
    def runtimes(self) -> list[float]:
        """Seconds of the timed trials, also of those that were killed."""
        return [timing.seconds for timing in self.timed if not isinstance(timing, NotTimed)]

    @property
    def untimed(self) -> list[int]:
        """Trials that are still to be timed."""
        if self.method.control:
            return []
        known = {timing.trial for timing in self.timed if not isinstance(timing, NotTimed)}
        return [index for index in range(self.models, self.models + TIMED_TRIALS) if index not in known]

    @property
    def failure(self) -> str:
        """Why a trial failed; "" if none did."""
        return next((each.failure for each in (*self.chunks, *self.timed) if isinstance(each, Failed | NotTimed)), "")

    @property
    def over_budget(self) -> bool:
        """Whether the median of the timed trials exceeds the budget, whatever any metric says."""
        return bool(self.runtimes) and median(self.runtimes) > self.allowance_seconds

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of all workers in each phase, over all trials."""
        total: dict[str, float] = {}
        for part in (*self.chunks, *self.timed):
            for name, seconds in part.phases.items() if isinstance(part, Measured) else ():
                total[name] = total.get(name, 0.0) + seconds
        return total

    @property
    def chunk_problem(self) -> str:
        """What is wrong with the chunks; "" if they hold every trial once. A control row has none."""
        trials = sorted(index for chunk in self.chunks for index in chunk.trials)
        wanted = [] if self.method.control else list(range(self.models))
        return "" if trials == wanted else "its chunks do not hold every trial once"


def origin(models: int, shipped: int) -> str:
    """Where retrained models come from, in words.

    >>> origin(16, 16), origin(512, 128), origin(16, 0)
    ('shipped', '128 shipped, 384 own', 'trained here')
    """
    if 0 < shipped < models:
        return f"{shipped} shipped, {models - shipped} own"
    return "shipped" if shipped else "trained here"


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


class ReferenceRecord(Record, frozen=True, kw_only=True):
    """`reference.json`: which files a reference consists of, and what was found out about it."""

    NAME: ClassVar[str] = "reference.json"
    RETRAINED: ClassVar[str] = "retrained-{0:04d}-{1:04d}.npz"

    files: Annotated[dict[ReferenceFile, Sha256], Meta(max_length=MANY)] = msgspec.field(default_factory=dict)
    shipped: frozenset[ReferenceFile] = frozenset()  # of the files, those that came with the package and lie there
    stack_size: Positive = 1
    task: ReferenceTask | None = None
    device: OptionalName = ""
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
