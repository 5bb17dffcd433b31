"""A task's original model and retrained models on disk: trained once per device kind, resumed, checked."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.archives import read_npz
from bench.engine import plan
from bench.engine.process import Arrays, Reply, Worker
from bench.engine.progress import job_progress
from bench.engine.session import Session
from bench.errors import BenchError, WorkerError, one_line
from bench.outputs import OUTPUT_SPLITS, Outputs, concatenate, from_arrays, from_npz, retain_sample_rows
from bench.schemas import reference_problem
from bench.store import DamagedFileError, Record, locked, read_checked, read_record, restored, write_bytes, write_record
from bench.tasks.task import UNKNOWN

ORIGINAL = "original"
TIMED_EPOCHS = 2
Parsed = TypeVar("Parsed")
Labels = dict[str, NDArray[np.int64]]


class References:
    """The reference of a task on one kind of device, in `references/TASK/DEVICE/` of a store.

    Files: `labels.npz`, `original.safetensors`, `original.npz` and `retrained-FIRST-LAST.npz` (outputs), all listed with their
    checksums in `reference.json`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record_path = folder / "reference.json"
        self.record: dict[str, Any] = {"files": {}, "yardsticks": {}, "baselines": {}}
        self._reload()

    @classmethod
    def of(cls, session: Session) -> References:
        """The reference that a session uses; a damaged record is set aside, and what it listed is made again."""
        folder = folder_of(session.store.references, session.task.key, session.device.kind)
        try:
            return cls(folder)
        except DamagedFileError as problem:
            if restored(problem.path, reference_problem):
                session.progress.note(f"damaged file {problem.path}: set aside, its copy is used")
                return cls(folder)
            session.progress.note(f"damaged file {problem.path}: set aside, the reference is made again")
            problem.path.rename(problem.path.with_suffix(".json.damaged"))
            return cls(folder)

    def labels(self) -> Labels:
        """Labels of every output split."""
        arrays = self._parsed("labels.npz", read_npz)
        return {name: arrays[name].astype(np.int64) for name in OUTPUT_SPLITS}

    def forget_identities(self) -> NDArray[np.int64] | None:
        """Who is on the forget examples; None: a reference of an earlier version, or a task that does not know."""
        people = self._parsed("labels.npz", read_npz).get("forget_identities")
        return people.astype(np.int64) if people is not None and (people != UNKNOWN).any() else None

    def original(self) -> Outputs:
        """Outputs of the one original model."""
        return self._parsed(f"{ORIGINAL}.npz", from_npz)

    def original_weights(self) -> Arrays:
        """Weights of the original model {name: [1, ...]}."""
        return self._parsed(f"{ORIGINAL}.safetensors", load)

    def retrained(self, indices: Sequence[int]) -> Outputs:
        """Outputs of the given retrained models, in that order."""
        chunks = plan.reference_chunks(indices, self.record["stack_size"])
        stored = [index for chunk in chunks for index in chunk]
        outputs = concatenate([self._parsed(_retrained_file(chunk), from_npz) for chunk in chunks])
        return outputs.select([stored.index(index) for index in indices])

    def check(self) -> None:
        """Read every file that the record lists.

        Raises:
            DamagedFileError: one is not what the record says.
        """
        for name in self.record["files"]:
            self._read(name)

    def available(self) -> int:
        """How many retrained models there are, counted from index 0."""
        size, count = int(self.record.get("stack_size", 1)), 0
        while _retrained_file(range(count, count + size)) in self.record["files"]:
            count += size
        return count

    def identifier(self, models: int) -> str:
        """Hash of the outputs of the original and the first `models` retrained models: who a row is compared with."""
        digest = self.original().digest() + self.retrained(range(models)).digest()
        return hashlib.sha256(digest.encode()).hexdigest()[:16]

    def cached_baseline(self, identifier: str, metric: str) -> Record | None:
        """What a metric said of the retrained models that `identifier` stands for, if it was asked."""
        found = self.record["baselines"].get(identifier, {}).get(metric)
        return found if isinstance(found, dict) else None

    def keep_baseline(self, identifier: str, metric: str, baseline: Record) -> None:
        """Keep what a metric said of the retrained models that `identifier` stands for."""
        with locked(self.folder, lambda text: None):
            self._reload()
            self.record["baselines"].setdefault(identifier, {})[metric] = baseline
            write_record(self._record_path, self.record, twice=True)

    def build(self, session: Session, indices: Sequence[int]) -> None:
        """Train what is missing of the original model, the retrained models and the yardstick."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, session.progress.note):
            self._reload()  # another process may have written while this one waited for the lock
            self._describe(session)
            jobs = [
                *(chunk for chunk in plan.reference_chunks(indices, session.stack_size) if self._missing(_retrained_file(chunk)))
            ]
            if self._missing(f"{ORIGINAL}.npz") or self._missing(f"{ORIGINAL}.safetensors"):
                jobs.append(())
            self._train(session, jobs)
            self._time(session)

    def yardstick(self, session: Session) -> float:
        """Seconds that one solo retraining takes on this device."""
        return float(self.record["yardsticks"][_yardstick_name(session)])

    def _reload(self) -> None:
        if self._record_path.exists() or restored(self._record_path, reference_problem):
            self.record = read_record(self._record_path, reference_problem)

    def _describe(self, session: Session) -> None:
        self.record.update(
            task={"name": session.task.name, "key": session.task.key, "forget_set": session.task.forget_set},
            device=session.device.kind,
            stack_size=session.stack_size,
            environment=dict(session.device.environment),
        )
        if self._missing("labels.npz"):
            faces = session.faces
            labels = {name: faces.split(name)[1] for name in (*OUTPUT_SPLITS, "retain") if name != "retain_sample"}
            retain = labels.pop("retain")
            buffer = io.BytesIO()
            sample = retain_sample_rows(len(retain), len(labels["test"]))
            people = faces.identities[faces.splits["forget"]]
            np.savez(buffer, **labels, retain_sample=retain[sample], forget_identities=people)  # type: ignore[arg-type]
            self._write("labels.npz", buffer.getvalue())

    def _train(self, session: Session, jobs: Sequence[plan.Chunk]) -> None:
        if not jobs:
            return
        advance = session.progress.stage(f"reference: {_count(jobs)}", sum(len(job) or 1 for job in jobs))

        def train(worker: Worker, job: plan.Chunk) -> Reply:
            reached, end = job_progress(lambda share: advance(share * (len(job) or 1)))
            with session.device_lock.shared():
                if job:
                    reply = worker.ask("train_retrained", on_progress=reached, indices=list(job))
                elif session.task.original is None:
                    reply = worker.ask("train_original", on_progress=reached)
                else:
                    reply = worker.ask("evaluate", weights=_as_stack(session.task.original))
            end()
            return reply

        for job, reply in session.executor.map(jobs, train):
            if isinstance(reply, WorkerError):
                raise BenchError(f"training the reference failed: {reply}") from reply
            if job:
                self._write(_retrained_file(job), from_arrays(reply.arrays).to_npz())
            else:
                self._write(f"{ORIGINAL}.safetensors", save(_original_weights(session, reply)))
                self._write(f"{ORIGINAL}.npz", from_arrays(reply.arrays).to_npz())

    def _time(self, session: Session) -> None:
        """Extrapolate a solo retraining from two warm epochs, with every other worker idle."""
        name = _yardstick_name(session)
        if name in self.record["yardsticks"]:
            return
        session.progress.stage("yardstick: timing two epochs of retraining", 1)

        def measure(worker: Worker) -> float:
            worker.ask("prepare_epochs")
            start = worker.clock()
            worker.ask("run_epochs", epochs=TIMED_EPOCHS)
            return worker.clock() - start

        with session.device_lock.alone():
            seconds = session.executor.first(measure) / TIMED_EPOCHS * session.task.recipe.epochs
        self.record["yardsticks"][name] = seconds
        write_record(self._record_path, self.record, twice=True)

    def _missing(self, name: str) -> bool:
        try:
            self._read(name)
        except DamagedFileError:
            return True
        return False

    def _parsed(self, name: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        try:
            return parse(self._read(name))
        except (ValueError, SafetensorError) as problem:
            raise DamagedFileError(self.folder / name, one_line(str(problem))) from problem

    def _read(self, name: str) -> bytes:
        return read_checked(self.folder / name, self.record["files"].get(name, ""))

    def _write(self, name: str, content: bytes) -> None:
        self.record["files"][name] = write_bytes(self.folder / name, content)
        write_record(self._record_path, self.record, twice=True)


def folder_of(references: Path, task_key: str, device_kind: str) -> Path:
    """Where the reference of a task on a kind of device lies."""
    return references / task_key[:16] / re.sub(r"[^a-z0-9]+", "-", device_kind.lower())


def _retrained_file(chunk: Sequence[int]) -> str:
    return f"retrained-{chunk[0]:04d}-{chunk[-1]:04d}.npz"


def _as_stack(weights: Mapping[str, NDArray[np.float32]]) -> Arrays:
    return {name: array[None] for name, array in weights.items()}


def _original_weights(session: Session, reply: Reply) -> Arrays:
    """What the worker trained, or what came with the task."""
    if session.task.original is not None:
        return _as_stack(session.task.original)
    prefix = "weights/"
    return {name.removeprefix(prefix): array for name, array in reply.arrays.items() if name.startswith(prefix)}


def _yardstick_name(session: Session) -> str:
    return session.device.processor if session.device.kind == "cpu" else session.device.kind


def _count(jobs: Sequence[plan.Chunk]) -> str:
    retrained = sum(len(job) for job in jobs)
    parts = [f"{retrained} retrained models"] * (retrained > 0) + ["the original model"] * (() in jobs)
    return " and ".join(parts)
