"""Runs in the store: read by whoever scores and shows them, filled piece by piece by the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.metrics.metric import Again
from bench.models.devices import is_cpu
from bench.outputs import NEEDED_ELSEWHERE, Outputs, concatenate
from bench.store.archives import pack, unpack
from bench.store.files import (
    DamagedFileError,
    append,
    read_checked,
    read_record,
    write_bytes,
    write_record,
)
from bench.store.records import Chunk, Finished, Measured, Pending, RunRecord, Timed, TimedTrial
from bench.store.references import Reference

RECORD, LOG = "run.json", "log.txt"
LARGEST_LOG = 4 * 2**20  # bytes


class Run:
    """A run: `runs/NAME-ID/run.json` and the outputs of its finished chunks."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder, self.record = folder, record

    @classmethod
    def read(cls, folder: Path, mend: str = "") -> Run:
        """A run that is in the store.

        Raises:
            DamagedFileError: its record is damaged.
        """
        path = folder / RECORD
        record = read_record(path, RunRecord, mend)
        if record.problem:
            raise DamagedFileError(path, record.problem, mend)
        if record.run not in ("", folder.name):
            raise DamagedFileError(path, f"it belongs to run {record.run}", mend)
        return cls(folder, record)

    @property
    def log(self) -> Path:
        """Where what its plugin prints is kept."""
        return self.folder / LOG

    def outputs(self, reference: Reference) -> Outputs:
        """Outputs of the N trials in order.

        Raises:
            DamagedFileError: a file is not what the record says.
        """
        method = self.record.method
        if method.control:
            return _control_outputs(reference, method.reference_models)
        chunks = self.record.finished_chunks
        order = [index for chunk in chunks for index in chunk.trials]
        stored = concatenate([self.chunk_outputs(chunk) for chunk in chunks])
        return stored.select([order.index(index) for index in range(self.record.models)])

    def chunk_outputs(self, chunk: Finished | Timed) -> Outputs:
        """Outputs of a finished chunk, or of a timed trial.

        Raises:
            DamagedFileError: its file is not what the record says.
        """
        path, trials = self.folder / chunk.file, chunk.trials if isinstance(chunk, Finished) else (chunk.trial,)
        try:
            content = read_checked(path, chunk.sha256)
            found = unpack(content, NEEDED_ELSEWHERE) if self.record.self_reported else unpack(content)
        except ValueError as problem:
            raise DamagedFileError(path, str(problem)) from problem
        if len(found) != len(trials):
            raise DamagedFileError(path, f"it has {len(found)} models for {len(trials)} trials")
        return found

    def check_outputs(self) -> None:
        """Read every finished chunk and what timed trials came to.

        Raises:
            DamagedFileError: a file is not what the record says.
        """
        for chunk in self.record.with_files:
            self.chunk_outputs(chunk)

    def again(self) -> Again | None:
        """What timed trials came to, beside how long they and the scored ones took; None if nothing ran twice.

        Raises:
            DamagedFileError: a file is not what the record says.
        """
        record, timed = self.record, self.record.ran_again
        if not timed:
            return None
        return Again(
            trials=[each.trial for each in timed],
            outputs=concatenate([self.chunk_outputs(each) for each in timed]),
            seconds=[each.seconds for each in timed],
            scored_seconds=[record.scored_seconds(each.trial) for each in timed],
            on_cpu=is_cpu(record.device.kind),
            stackable=record.method.stackable,
        )

    def forget_damaged(self) -> list[Path]:
        """Take chunks whose file is damaged for pending, and such timed trials for not timed; returns those files."""
        damaged = []
        for part in self.record.with_files:
            try:
                self.chunk_outputs(part)
            except DamagedFileError as problem:
                damaged.append(problem.path)
                self._forget(part)
        return damaged

    def _forget(self, part: Finished | Timed) -> None:
        if isinstance(part, Finished):
            self._put(Pending(trials=part.trials))
        else:
            self.record = replace(self.record, timed=tuple(each for each in self.record.timed if each != part))

    def keep_outputs(self, trials: Sequence[int], outputs: Outputs, measured: Measured, wall_seconds: float) -> None:
        """Store what a chunk came to."""
        name = f"outputs-{trials[0]:04d}.npz"
        sha256 = write_bytes(self.folder / name, pack(outputs))
        self.keep_chunk(Finished(trials=tuple(trials), file=name, sha256=sha256, wall_seconds=wall_seconds, **_fields(measured)))

    def take_over(self, name: str) -> None:
        """Have the trials of another run of the store, which are the same: its outputs, times and what decided on these.

        Raises:
            DamagedFileError: one of its files is damaged.
        """
        other = Run.read(self.folder.with_name(name))
        for part in other.record.with_files:
            write_bytes(self.folder / part.file, read_checked(other.folder / part.file, part.sha256))
        taken = ("chunks", "timed", "secret", "stack_size", "backed_off", "device", "environment")
        self.record = replace(self.record, trials_of=name, **{field: getattr(other.record, field) for field in taken})
        self._save()

    def keep_printed(self, text: bytes) -> None:
        """Append to the log, up to its bound."""
        append(self.log, text, LARGEST_LOG)

    def keep_chunk(self, chunk: Chunk) -> None:
        """Put a chunk in the place of the one with its trials."""
        self._put(chunk)
        self._save()

    def keep_secret(self, secret: str) -> None:
        """Store what decides which trials are timed."""
        self.record = replace(self.record, secret=secret)
        self._save()

    def keep_times_of(self, record: RunRecord) -> None:
        """Take the timed trials of another state of the record. Their files stay: the same trials come to the same."""
        self.record = replace(self.record, secret=record.secret, timed=record.timed, timed_again=record.timed_again)
        self._save()

    def keep_alone(self, trial: int, outputs: Outputs, measured: Measured) -> None:
        """Store what one more timed trial came to."""
        name = f"timed-{trial:04d}.npz"
        sha256 = write_bytes(self.folder / name, pack(outputs))
        self.keep_timed([*self.record.timed, Timed(trial=trial, file=name, sha256=sha256, **_fields(measured))])

    def keep_timed(self, timed: Sequence[TimedTrial]) -> None:
        """Store how long trials took."""
        self.record = replace(self.record, timed=tuple(timed))
        self._save()

    def plan_again(self, stack_size: int, chunks: Sequence[Sequence[int]]) -> None:
        """Start again with smaller stacks; outputs of the former ones are removed."""
        former = self.record.finished_chunks
        pending = tuple(Pending(trials=tuple(chunk)) for chunk in chunks)
        self.record = replace(self.record, stack_size=stack_size, backed_off=True, chunks=pending)
        self._save()
        for chunk in former:
            (self.folder / chunk.file).unlink(missing_ok=True)

    def _put(self, chunk: Chunk) -> None:
        chunks = tuple(chunk if each.trials == chunk.trials else each for each in self.record.chunks)
        self.record = replace(self.record, chunks=chunks)

    def _save(self) -> None:
        write_record(self.folder / RECORD, self.record, twice=True)


def _fields(measured: Measured) -> dict[str, Any]:
    return {field: getattr(measured, field) for field in Measured.__struct_fields__}


def run_folders(runs: Path) -> Iterator[Path]:
    """Folders of all runs that have a record."""
    return (record.parent for record in sorted(runs.glob(f"*/{RECORD}")))


def _control_outputs(reference: Reference, models: Sequence[int | None]) -> Outputs:
    retrained = [index for index in models if index is not None]
    return reference.retrained(retrained) if retrained else reference.original().select([0] * len(models))
