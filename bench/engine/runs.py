"""One run: N trials of one method -> outputs in the store; resumed if it was interrupted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry
from bench.budget import Budget, Phases, add_phases
from bench.engine import plan
from bench.engine.process import Arrays, OnProgress, PhaseClock, Reply, Worker, WorkerError
from bench.engine.progress import job_progress
from bench.engine.session import Session
from bench.errors import BenchError
from bench.outputs import Outputs, concatenate, from_arrays, from_npz
from bench.references import References
from bench.specs import Spec
from bench.store import DamagedFileError, Record, locked, read_checked, read_record, write_bytes, write_record


@dataclass(frozen=True)
class Request:
    """What `bench run` is asked for one plugin."""

    plugin: registry.Plugin
    spec: Spec
    models: int
    budget: Budget
    seed: int
    again: bool = False


@dataclass(frozen=True)
class Description:
    """What the engine must know of a method, as a process that loaded it answered."""

    stackable: bool
    control: bool
    hyper_parameters: Mapping[str, Any]
    variants: Sequence[int]
    reference_models: Sequence[int | None]  # of a control row
    documentation: str


def describe(session: Session, request: Request) -> Description:
    """Load the plugin in a process of its own and look at it.

    Raises:
        BenchError: it cannot be loaded, or does not take these hyper-parameters.
    """
    with session.method_worker(request.plugin, request.spec, {}) as worker:
        try:
            description = Description(**worker.ask("describe", models=request.models).values)
        except WorkerError as problem:
            blamed = "" if problem.traceback else f"plugin {request.plugin.name}: "
            raise BenchError(f"{blamed}{problem}") from problem
    if description.control:
        _check_control(request, description.reference_models)
    return description


def _check_control(request: Request, stand_ins: Sequence[int | None]) -> None:
    retrained = [index for index in stand_ins if index is not None]
    wrong = len(stand_ins) != request.models or len(retrained) not in (0, request.models)
    if wrong or any(index < request.models for index in retrained):
        raise BenchError(
            f"control row {request.plugin.name} must name {request.models} models: the original for all trials,"
            f" or retrained models from index {request.models} on"
        )


_RECORD = ("method", "task", "reference_id", "models", "budget", "seed", "device", "chunks", "solo", "allowance_seconds")


class Run:
    """A run in the store: `runs/NAME-ID/run.json` and the outputs of its finished chunks."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder, self.record = folder, record

    @classmethod
    def read(cls, folder: Path) -> Run:
        """A run that is in the store.

        Raises:
            DamagedFileError: its record is damaged.
        """
        return cls(folder, read_record(folder / "run.json", needs=_RECORD))

    def save(self) -> None:
        """Write the record."""
        write_record(self.folder / "run.json", {key: value for key, value in self.record.items() if key != "schema_version"})

    @property
    def complete(self) -> bool:
        """Whether every trial is finished, and the solo trials too."""
        return self.finished_trials() == self.record["models"] and not self.missing_solo()

    def finished_trials(self) -> int:
        """How many trials have outputs."""
        if self.record["method"]["control"]:
            return int(self.record["models"])
        return sum(len(chunk["trials"]) for chunk in self.record["chunks"] if "file" in chunk)

    def missing_solo(self) -> list[int]:
        """Solo trials that have not been timed."""
        if self.record["method"]["control"]:
            return []
        timed = {solo["trial"] for solo in self.record["solo"] if "seconds" in solo}
        models = int(self.record["models"])
        return [index for index in range(models, models + plan.SOLO_TRIALS) if index not in timed]

    def first_failure(self) -> str:
        """Why a trial failed; "" if none did."""
        return next((item["failure"] for item in (*self.record["chunks"], *self.record["solo"]) if "failure" in item), "")

    def outputs(self, references: References) -> Outputs:
        """Outputs of the N trials in order.

        Raises:
            DamagedFileError: a file is not what the record says.
        """
        if self.record["method"]["control"]:
            return _control_outputs(references, self.record["method"]["reference_models"])
        chunks = self.record["chunks"]
        order = [index for chunk in chunks for index in chunk["trials"]]
        stored = concatenate([from_npz(self.read_chunk(chunk)) for chunk in chunks])
        return stored.select([order.index(index) for index in range(self.record["models"])])

    def read_chunk(self, chunk: Mapping[str, Any]) -> bytes:
        """The checked content of a finished chunk's file."""
        return read_checked(self.folder / chunk["file"], chunk["sha256"])


def run(session: Session, references: References, request: Request, description: Description) -> Run:
    """Run what is missing of a method's trials; returns the run, complete or with its failures recorded."""
    with locked(session.store.path, session.progress.note):
        folder = _find_or_create(session, references, request, description).folder
    with locked(folder, session.progress.note):
        current = Run.read(folder)
        for path in forget_damaged(current):
            session.progress.note(f"damaged file {path}: its trials run again")
        if not current.complete:
            _run_missing(session, references, request, current)
    return current


def forget_damaged(current: Run) -> list[Path]:
    """Mark chunks whose file is damaged as not done; returns those files."""
    damaged = []
    for chunk in current.record["chunks"]:
        try:
            if "file" in chunk:
                current.read_chunk(chunk)
        except DamagedFileError as problem:
            damaged.append(problem.path)
            chunk.pop("file")
    return damaged


def _find_or_create(session: Session, references: References, request: Request, description: Description) -> Run:
    record = _new_record(session, references, request, description)
    for attempt in count():
        folder = session.store.runs / _folder_name(record, attempt)
        if not (folder / "run.json").exists():
            break
        if not request.again or description.control:
            try:
                return Run.read(folder)
            except DamagedFileError as problem:
                session.progress.note(f"damaged file {problem.path}: set aside, the run starts again")
                problem.path.rename(problem.path.with_suffix(".json.damaged"))
                break
    created = Run(folder, {**record, "attempt": attempt})
    folder.mkdir(parents=True, exist_ok=True)
    created.save()
    return created


def _folder_name(record: Record, attempt: int) -> str:
    method = record["method"]
    # A control row is the reference's, whatever version lists it and whatever the seed.
    source, seed = ("", 0) if method["control"] else (method["source_hash"], record["seed"])
    identity = {
        "method": [method["name"], method["hyper_parameters"], source, seed],
        **{key: record[key] for key in ("reference_id", "models", "budget")},
        "task": record["task"]["key"],
        "device": record["device"]["kind"],
        "attempt": attempt,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{method['name']}-{digest[:12]}"


def _new_record(session: Session, references: References, request: Request, description: Description) -> Record:
    plugin, yardstick = request.plugin, references.yardstick(session)
    size = session.stack_size
    chunks = [] if description.control else plan.chunks(description.variants, size)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": {
            "name": plugin.name,
            "spec": str(request.spec),
            "hyper_parameters": dict(description.hyper_parameters),
            "distribution": plugin.distribution,
            "version": plugin.version,
            "source_hash": plugin.source_hash(),
            "summary": plugin.summary(),
            "documentation": description.documentation,
            "stackable": description.stackable,
            "control": description.control,
            "reference_models": list(description.reference_models),
        },
        "task": {"name": session.task.name, "key": session.task.key},
        "reference_id": references.identifier(request.models),
        "models": request.models,
        "budget": str(request.budget),
        "seed": request.seed,
        "device": {"kind": session.device.kind, "processor": session.device.processor},
        "environment": dict(session.device.environment),
        "retraining_seconds": yardstick,
        "allowance_seconds": request.budget.allowance(yardstick).seconds,
        "chunks": [{"trials": list(chunk)} for chunk in chunks],
        "solo": [],
    }


def _run_missing(session: Session, references: References, request: Request, current: Run) -> None:
    trials = _Trials(session, references.original_weights(), request, current)
    missing = [chunk for chunk in current.record["chunks"] if "file" not in chunk]
    if missing:
        advance = session.progress.stage(f"{request.plugin.name}: {sum(len(c['trials']) for c in missing)} trials", len(missing))

        def compute(evaluator: Worker, chunk: Mapping[str, Any]) -> tuple[Outputs, Phases]:
            reached, end = job_progress(advance)
            try:
                return trials.chunk(evaluator, chunk, reached)
            finally:
                end()

        for chunk, result in session.executor.map(missing, compute):
            for key in ("failure", "file"):
                chunk.pop(key, None)
            chunk.update(_failure(current, result) if isinstance(result, WorkerError) else _stored(current, chunk, result))
            current.save()
    _time_solo(session, trials, current)


def _time_solo(session: Session, trials: _Trials, current: Run) -> None:
    """Nothing else runs meanwhile: the time of a solo trial is what the budget is compared with."""
    missing = current.missing_solo()
    if not missing or current.finished_trials() < current.record["models"]:
        return
    advance = session.progress.stage(f"{current.record['method']['name']}: timing solo trials", len(missing))
    current.record["solo"] = [solo for solo in current.record["solo"] if "seconds" in solo]
    try:
        for entry in trials.solo(missing):
            current.record["solo"].append(entry)
            advance(1)
    except WorkerError as problem:
        current.record["solo"].append(_failure(current, problem))
    current.save()


class _Trials:
    """How the trials of one run are computed: by processes that serve this plugin only."""

    def __init__(self, session: Session, original: Arrays, request: Request, current: Run) -> None:
        self._session, self._request = session, request
        self._original = {name: array[0:1] for name, array in original.items()}
        self._stackable = bool(current.record["method"]["stackable"])
        self._allowance = float(current.record["allowance_seconds"])
        self._log = current.folder / "log.txt"

    def chunk(self, evaluator: Worker, chunk: Mapping[str, Any], reached: OnProgress) -> tuple[Outputs, Phases]:
        """Unlearn the trials of a chunk, as a stack if the method allows it, and evaluate the models in the trusted worker."""
        clock = PhaseClock()
        trials = chunk["trials"]
        with self._worker(clock) as worker:
            groups = [trials] if self._stackable else [[trial] for trial in trials]
            weights = []
            for done, group in enumerate(groups):
                share = partial(_within, reached, done, len(groups))
                weights.append(self._unlearn(worker, clock, group, share, stacked=self._stackable)[0])
        with clock.measure("eval"):
            merged = _merged(weights)
            outputs = from_arrays(evaluator.ask("evaluate", weights=merged).arrays)
        return outputs, clock.phases

    def solo(self, trials: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Time trials as plain networks, one after the other; their models are thrown away."""
        clock = PhaseClock()
        with self._worker(clock) as worker:
            for trial in trials:
                seconds = self._unlearn(worker, clock, [trial], lambda share: None, stacked=False)[1]
                peak = worker.peak_memory(on_device=self._session.device.kind)
                entry = {"trial": trial, "seconds": seconds, "phases": clock.phases}
                yield entry if peak is None else {**entry, "peak_memory": peak}
                clock.phases = {}

    def _worker(self, clock: PhaseClock) -> Worker:
        with clock.measure("setup"):
            return self._session.method_worker(self._request.plugin, self._request.spec, self._original, log=self._log)

    def _unlearn(
        self, worker: Worker, clock: PhaseClock, trials: Sequence[int], reached: OnProgress, *, stacked: bool
    ) -> tuple[Arrays, float]:
        with clock.measure("setup"):
            worker.ask("start", trials=list(trials), root=self._request.seed, allowance=self._allowance, stacked=stacked)
        with clock.measure("warmup"):
            worker.ask("warm_up")
        with clock.measure("method"):
            expected = self._allowance * len(trials)
            seconds = worker.timed("unlearn", on_device=self._session.device.kind, on_progress=reached, expected=expected)
        with clock.measure("io"):
            reply: Reply = worker.ask("weights")
        return reply.arrays, seconds


def _within(reached: OnProgress, done: int, groups: int, share: float) -> None:
    """Progress of one of several groups as progress of all."""
    reached((done + share) / groups)


def _merged(weights: Sequence[Arrays]) -> Arrays:
    """Weights of all trials of a chunk, one row each."""
    shapes = [{name: array.shape[1:] for name, array in part.items()} for part in weights]
    if any(shape != shapes[0] for shape in shapes):
        raise WorkerError("the returned models of different trials are different networks")
    return {name: np.concatenate([part[name] for part in weights]) for name in weights[0]}


def _stored(current: Run, chunk: Mapping[str, Any], result: tuple[Outputs, Phases]) -> dict[str, Any]:
    outputs, phases = result
    name = f"outputs-{chunk['trials'][0]:04d}.npz"
    return {"file": name, "sha256": write_bytes(current.folder / name, outputs.to_npz()), "phases": add_phases([phases])}


def _failure(current: Run, problem: WorkerError) -> dict[str, Any]:
    if problem.traceback:
        with (current.folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(problem.traceback)
    return {"failure": str(problem)}


def _control_outputs(references: References, models: Sequence[int | None]) -> Outputs:
    retrained = [index for index in models if index is not None]
    return references.retrained(retrained) if retrained else references.original().select([0] * len(models))
