"""References in the store: a task's original model and retrained models, and what they answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.errors import BenchError, one_line
from bench.outputs import OUTPUT_SPLITS, Arrays, Outputs, concatenate
from bench.progress import Note
from bench.store.archives import pack, read_npz, unpack, write_npz
from bench.store.files import (
    DamagedFileError,
    locked,
    read_checked,
    read_record,
    restored,
    set_aside,
    write_bytes,
    write_record,
)
from bench.store.reference_records import KeptBaseline, ReferenceRecord, ReferenceTask, whole_chunks
from bench.store.shipped import read_shipped, shipped_record

LABELS, OUTPUTS, WEIGHTS = "labels.npz", "original.npz", "original.safetensors"
_IDENTITIES = "_identities"  # after the name of a split
Labels = dict[str, NDArray[np.int64]]
Baselines = Mapping[str, Mapping[str, KeptBaseline]]  # by identifier and metric
Parsed = TypeVar("Parsed")


class Reference:
    """The reference of a task on one kind of device, in `references/TASK/DEVICE/` of a store, or partly in the package.

    Files: labels, the original's weights and outputs, and the outputs of whole chunks of retrained models, all listed with
    their checksums in `reference.json`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = ReferenceRecord()
        self._reload()

    @classmethod
    def opened(cls, folder: Path, note: Note) -> Reference:
        """A reference that may not be there yet; a damaged record is set aside, and what it listed is made again."""
        try:
            return cls(folder)
        except DamagedFileError as problem:
            if restored(problem.path, ReferenceRecord):
                note(f"damaged file {problem.path}: set aside, its copy is used")
                return cls(folder)
            note(f"damaged file {problem.path}: set aside, the reference is made again")
            set_aside(problem.path)
            return cls(folder)

    def labels(self) -> Labels:
        """Labels of every output split."""
        arrays = self._parsed(LABELS, read_npz)
        return {name: arrays[name].astype(np.int64) for name in OUTPUT_SPLITS}

    def identities(self) -> Labels:
        """Who is on the examples of output splits; without those of which the task does not know."""
        arrays = self._parsed(LABELS, read_npz)
        known = {name: arrays.get(name + _IDENTITIES) for name in OUTPUT_SPLITS}
        return {name: people.astype(np.int64) for name, people in known.items() if people is not None}

    def original(self) -> Outputs:
        """Outputs of the one original model."""
        return self._parsed(OUTPUTS, unpack)

    def original_weights(self) -> Arrays:
        """Weights of the original model {name: [1, ...]}."""
        return self._parsed(WEIGHTS, load)

    def retrained(self, indices: Sequence[int]) -> Outputs:
        """Outputs of the given retrained models, in that order."""
        chunks = whole_chunks(indices, self.record.stack_size)
        stored = [index for chunk in chunks for index in chunk]
        outputs = concatenate([self._parsed(ReferenceRecord.retrained_file(chunk), unpack) for chunk in chunks])
        return outputs.select([stored.index(index) for index in indices])

    def check(self) -> None:
        """Read every file that the record lists.

        Raises:
            DamagedFileError: one is not what the record says.
        """
        for name in self.record.files:
            self.read(name)

    def identifier(self, models: int) -> str:
        """Hash of the outputs of the original and the first `models` retrained models: who a row is compared with."""
        digest = self.original().digest() + self.retrained(range(models)).digest()
        return hashlib.sha256(digest.encode()).hexdigest()[:16]

    def kept_baseline(self, identifier: str, metric: str) -> KeptBaseline | None:
        """What a metric said of the retrained models that `identifier` stands for, if it was asked."""
        return self.record.baselines.get(identifier, {}).get(metric)

    def keep_baseline(self, identifier: str, metric: str, baseline: KeptBaseline) -> None:
        """Keep what a metric said of the retrained models that `identifier` stands for."""
        seen, found = self.record, {identifier: {metric: baseline}}
        with locked(self.folder, lambda text: None):
            self._reload()
            self._keep(replace(self.record, baselines=_both(self.record.baselines, found)))
        self.record = replace(seen, baselines=_both(seen.baselines, self.record.baselines))  # it may be that of the package

    @contextmanager
    def growing(self, about: ReferenceRecord, note: Note, *, shipped: bool = True) -> Iterator[None]:
        """Have it to oneself, to add what is missing; `about` has task, device, environment and stack size.

        `shipped`: what comes with the package is used where nothing was trained yet, and what is missing is added to it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, note):
            self._reload()  # another process may have written while this one waited for the lock
            known = {name: getattr(self.record, name) for name in ("files", "shipped", "retraining_times", "baselines")}
            self.record = replace(about, **known)
            if not shipped:
                own = {name: sha256 for name, sha256 in self.record.files.items() if name not in self.record.shipped}
                self.record = replace(self.record, files=own, shipped=frozenset())
            elif not self.record.files:
                self._adopt(note)
            yield

    def _adopt(self, note: Note) -> None:
        """Build upon the reference that comes with the package, if it fits."""
        try:
            found = shipped_record(self.record.task, self.record.device, self.record.stack_size) if self.record.task else None
        except BenchError as problem:
            note(f"the reference that comes with bench is not used, but trained: {problem}")
            return
        if found:
            self._keep(_built_upon(self.record, found))

    def look_at_shipped(self, task: ReferenceTask, device: str, compared: int = 0) -> None:
        """Read what comes with the package, if it fits; nothing is written.

        That is where nothing was trained yet, and for a run that was `compared` with so many models of the package, even if the
        same models were trained here since.
        """
        with suppress(BenchError):
            needed = not self.record.files or compared > self.record.shipped_models
            found = shipped_record(task, device) if needed else None
            if found:
                own = self.record.files if self.record.stack_size == found.stack_size else {}
                about = replace(self.record, files=own, task=found.task, device=device, stack_size=found.stack_size)
                self.record = _built_upon(about, found)

    @property
    def shipped_models(self) -> int:
        """How many retrained models came with the package."""
        return self.record.shipped_models

    @property
    def has_labels(self) -> bool:
        """Whether the labels are there and whole."""
        return self._has(LABELS)

    @property
    def has_original(self) -> bool:
        """Whether the original model is."""
        return self._has(OUTPUTS) and self._has(WEIGHTS)

    def has_retrained(self, chunk: Sequence[int]) -> bool:
        """Whether a chunk of retrained models is."""
        return self._has(ReferenceRecord.retrained_file(chunk))

    def keep_labels(self, labels: Labels, identities: Labels) -> None:
        """Store the labels of every output split, and who is on the examples of those of which the task knows."""
        people = {name + _IDENTITIES: who for name, who in identities.items()}
        self._write({LABELS: write_npz({**labels, **people})})

    def keep_original(self, weights: Mapping[str, NDArray[np.float32]], outputs: Outputs) -> None:
        """Store the original model: weights {name: [1, ...]} and outputs."""
        self._write({WEIGHTS: save(dict(weights)), OUTPUTS: pack(outputs)})

    def keep_retrained(self, chunk: Sequence[int], outputs: Outputs) -> None:
        """Store the outputs of a chunk of retrained models."""
        self._write({ReferenceRecord.retrained_file(chunk): pack(outputs)})

    def retraining_time(self, processor: str) -> float | None:
        """Seconds that one retraining takes at least on a processor, or a CUDA device; None: not measured."""
        return self.record.retraining_times.get(processor)

    def keep_retraining_time(self, processor: str, seconds: float) -> None:
        """Store that time, unless a shorter one is known: what slows a machine down passes."""
        known = self.retraining_time(processor)
        if known is not None and known <= seconds:
            return
        seen = self.record
        with locked(self.folder, lambda text: None):
            self._reload()
            least = min(seconds, self.record.retraining_times.get(processor, seconds))
            times = {**self.record.retraining_times, processor: least}
            self._keep(replace(self.record, retraining_times=times))
        self.record = replace(seen, retraining_times=times)  # it may be that of the package

    def _reload(self) -> None:
        path = self.folder / ReferenceRecord.NAME
        if path.exists() or restored(path, ReferenceRecord):
            self.record = read_record(path, ReferenceRecord)

    def _has(self, name: str) -> bool:
        try:
            self.read(name)
        except DamagedFileError:
            return False
        return True

    def _parsed(self, name: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        try:
            return parse(self.read(name))
        except (ValueError, SafetensorError) as problem:
            raise DamagedFileError(self.folder / name, one_line(str(problem))) from problem

    def read(self, name: str) -> bytes:
        """A file that the record lists.

        Raises:
            DamagedFileError: it is not what the record says.
        """
        if name in self.record.shipped:
            return read_shipped(self.record, name)
        return read_checked(self.folder / name, self.record.files.get(name, ""))

    def _write(self, contents: Mapping[str, bytes]) -> None:
        written = {name: write_bytes(self.folder / name, content) for name, content in contents.items()}
        files, shipped = {**self.record.files, **written}, self.record.shipped - set(written)
        self._keep(replace(self.record, files=files, shipped=shipped))

    def _keep(self, record: ReferenceRecord) -> None:
        write_record(self.folder / ReferenceRecord.NAME, record, twice=True)
        self.record = record


def _built_upon(record: ReferenceRecord, shipped: ReferenceRecord) -> ReferenceRecord:
    """With the files of what is shipped, and what metrics say of them; its times are those of another machine."""
    files, baselines = {**record.files, **shipped.files}, _both(shipped.baselines, record.baselines)
    return replace(record, files=files, shipped=frozenset(shipped.files), baselines=baselines)


def _both(some: Baselines, others: Baselines) -> dict[str, dict[str, KeptBaseline]]:
    """What metrics say of both; where they differ, the others hold."""
    return {name: {**some.get(name, {}), **others.get(name, {})} for name in {**some, **others}}


def folder_of(references: Path, task_key: str, device_kind: str) -> Path:
    """Where the reference of a task on a kind of device lies."""
    return references / task_key[:16] / re.sub(r"[^a-z0-9]+", "-", device_kind.lower())


def reference_folders(references: Path, task_key: str = "*") -> list[Path]:
    """Folders of all references that have a record, or of those of a task."""
    return sorted(record.parent for record in references.glob(f"{task_key[:16]}/*/{ReferenceRecord.NAME}"))
