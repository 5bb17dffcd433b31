"""The record of a run: every field that a stranger could fill has a type, a size and a pattern."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from bench.budget import Budget
from bench.metrics.timing import FEWEST_TIMED, MOST_TIMED, Timing
from bench.seeds import numpy_generator
from bench.store.fields import (
    MANY,
    ONE_LINE,
    DeviceKind,
    Index,
    Line,
    Lines,
    OptionalName,
    Positive,
    PositiveSeconds,
    Record,
    Seconds,
    Sha256,
    Short,
    Whole,
)
from bench.store.method_records import MethodRecord

OUTPUTS_FILE = r"(outputs|timed)-[0-9]{4,}\.npz"

ReferenceId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
BudgetText = Annotated[str, Meta(max_length=50, pattern=r"\A(?=.*[1-9])[0-9]+(\.[0-9]+)?[%s]\Z")]  # see `bench.budget.Budget`
Share = Annotated[float, Meta(ge=0, le=1)]
PhaseSeconds = Annotated[dict[Short, Seconds], Meta(max_length=20)]
Trials = Annotated[tuple[Index, ...], Meta(min_length=1, max_length=MANY)]
OutputsFile = Annotated[str, Meta(pattern=rf"\A{OUTPUTS_FILE}\Z", max_length=100)]


class StoreRecord(Record, frozen=True, kw_only=True):
    """`store.json`: which version the store is of."""


class TaskRecord(Record, frozen=True, kw_only=True):
    """The task of a run."""

    name: OptionalName
    key: Sha256
    groups: Annotated[tuple[OptionalName, ...], Meta(max_length=1000)] = ()
    forget_set: Line = ""
    remarks: Annotated[tuple[Line, ...], Meta(max_length=100)] = ()


class DeviceRecord(Record, frozen=True, kw_only=True):
    """What a run was computed on."""

    kind: DeviceKind  # `cpu` or the CUDA device's name
    processor: Line = ""


class Measured(Record, frozen=True, kw_only=True):
    """Time and memory of a chunk or of a timed trial. What was not measured is 0 or empty."""

    phases: PhaseSeconds = msgspec.field(default_factory=dict)
    peak_memory: Whole = 0  # bytes; 0: not known; of the device, as its allocator counts; on a CPU, of the processes
    peak_host_memory: Whole = 0  # bytes
    seconds: Seconds = 0.0  # that the method took, for all models together, on the clock of the budget
    retraining: Annotated[tuple[PositiveSeconds, ...], Meta(max_length=2)] = ()  # seconds of one, right before and right after
    busy: Share = 0.0  # share of the time of all cores that others used meanwhile


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
    """A trial that ran once more alone, for its time; its outputs are in a file, but for those of earlier versions."""

    trial: Index
    file: Annotated[str, Meta(pattern=rf"\A({OUTPUTS_FILE})?\Z", max_length=100)] = ""
    sha256: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""


class Killed(Measured, frozen=True, kw_only=True, tag_field="state", tag="killed"):
    """One that was killed after so many seconds: it is over budget either way."""

    trial: Index
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
    budget: BudgetText
    seed: Annotated[int, Meta(ge=0)]
    device: DeviceRecord
    retraining_seconds: PositiveSeconds  # of one, at the fastest that was seen when the run began
    allowance_seconds: Seconds  # what a trial is told that it may take
    secret: Annotated[str, Meta(pattern=r"\A([0-9a-f]{32})?\Z")] = ""  # decides which trials are timed; drawn after they were run
    timed_again: Index = 0  # how often times and secret were made anew: whoever tries often enough has luck
    self_reported: bool = False  # its models were unlearned elsewhere, and nobody timed that
    chunks: Annotated[tuple[Chunk, ...], Meta(max_length=MANY)]
    timed: Annotated[tuple[TimedTrial, ...], Meta(max_length=MANY)] = ()
    run: Annotated[str, Meta(max_length=300, pattern=ONE_LINE)] = ""
    created: Short = ""
    environment: Lines = msgspec.field(default_factory=dict)
    variants: Annotated[tuple[Index, ...], Meta(max_length=MANY)] = ()
    stack_size: Positive = 1
    backed_off: bool = False  # memory did not suffice for the usual stacks
    attempt: Whole = 0
    trials_of: Annotated[str, Meta(max_length=300, pattern=ONE_LINE)] = (
        ""  # a run at another budget, which they were computed for
    )

    @property
    def complete(self) -> bool:
        """Whether every trial has outputs, and enough of them are timed."""
        return len(self.finished_chunks) == len(self.chunks) and not self.wants_time

    @property
    def finished_chunks(self) -> list[Finished]:
        """Those with outputs."""
        return [chunk for chunk in self.chunks if isinstance(chunk, Finished)]

    @property
    def with_files(self) -> list[Finished | Timed]:
        """Chunks and timed trials whose outputs are kept."""
        return [*self.finished_chunks, *self.ran_again]

    @property
    def finished_trials(self) -> int:
        """How many trials have outputs, or had them when they were run alone after the failure of their stack."""
        if self.method.control:
            return self.models
        alone = sum(chunk.finished for chunk in self.chunks if isinstance(chunk, Failed))
        return alone + sum(len(chunk.trials) for chunk in self.finished_chunks)

    @property
    def alone(self) -> list[Measured]:
        """Trials that were measured alone on the device: those that are timed, or all of a method that uses the clock."""
        scored = [chunk for chunk in self.finished_chunks if chunk.retraining] if self.method.uses_clock else []
        return [*self.known_times, *scored]

    @property
    def known_times(self) -> list[Timed | Killed]:
        """Trials that have run once more for their time, also those that were killed."""
        return [
            each
            for each in self.timed
            if (isinstance(each, Timed) and each.file) or (isinstance(each, Killed) and each.retraining)  # as of this version
        ]

    @property
    def ran_again(self) -> list[Timed]:
        """Those that finished."""
        return [each for each in self.known_times if isinstance(each, Timed)]

    def scored_seconds(self, trial: int) -> float:
        """Seconds that a trial took when it was scored; of a stack its part."""
        chunk = next((each for each in self.finished_chunks if trial in each.trials), None)
        return chunk.seconds / len(chunk.trials) if chunk else 0.0

    @property
    def timing(self) -> Timing:
        """How much of one retraining they took, and how much they may."""
        alone = self.alone
        retraining = min([self.retraining_seconds, *(seconds for each in alone for seconds in each.retraining)])
        return Timing(
            seconds=[each.seconds for each in alone],
            beside=[each.retraining or (self.retraining_seconds,) for each in alone],
            allowed=Budget.parse(self.budget).share(retraining),
            retraining=retraining,
            busy=[each.busy for each in alone],
            peak_memory=[each.peak_memory for each in alone if each.peak_memory],
            scored=[chunk.seconds / len(chunk.trials) for chunk in self.finished_chunks for _ in chunk.trials],
        )

    @property
    def wants_time(self) -> bool:
        """Whether trials are still to be timed: three, and more while it is open whether they are within the budget."""
        if self.method.control or self.self_reported or self.method.uses_clock:  # whose trials are all timed as they are run
            return False
        count = len(self.alone)
        return count < min(FEWEST_TIMED, self.models) or (count < min(MOST_TIMED, self.models) and self.timing.undecided)

    @property
    def next_timed(self) -> int:
        """The trial that is timed next: their order follows from the secret."""
        known = {each.trial for each in self.known_times}
        return next(trial for trial in self._drawn() if trial not in known)

    def _drawn(self) -> list[int]:
        """Trials in the order in which they may be timed."""
        order = numpy_generator(int(self.secret, 16), "timing", 0).permutation(self.models)
        return [int(trial) for trial in order[:MOST_TIMED]]

    @property
    def failure(self) -> str:
        """Why a trial failed; "" if none did."""
        return next((each.failure for each in (*self.chunks, *self.timed) if isinstance(each, Failed | NotTimed)), "")

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of all workers in each phase, over all trials."""
        total: dict[str, float] = {}
        for part in (*self.chunks, *self.timed):
            for name, seconds in part.phases.items() if isinstance(part, Measured) else ():
                total[name] = total.get(name, 0.0) + seconds
        return total

    @property
    def problem(self) -> str:
        """What contradicts itself, or is not written as bench writes it; "" if nothing does."""
        trials = sorted(index for chunk in self.chunks for index in chunk.trials)
        control, budget = self.method.control, str(Budget.parse(self.budget))
        timed, drawn = [each.trial for each in self.known_times], self._drawn() if self.secret else []
        early = [each for each in self.timed if isinstance(each, Killed) and each.seconds < self.allowance_seconds]
        as_of_a_run = len(self.chunks) != 1 or self.timed or self.method.uses_clock
        wrong = {
            "its chunks do not hold every trial once": trials != ([] if control else list(range(self.models))),
            "it is self-reported, and has trials as of a run": self.self_reported and as_of_a_run,
            "reference models stand in for the trials of a control row, and for no others": len(self.method.reference_models)
            != (self.models if control else 0),
            f"its budget {self.budget} is written {budget}": self.budget != budget,
            "a timed trial is said to be killed before its time was over": early,
            "its secret names other trials to be timed": len(set(timed)) < len(timed) or not set(timed) <= set(drawn),
        }
        return next((told for told, holds in wrong.items() if holds), "")
