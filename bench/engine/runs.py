"""One run: N trials of one method -> outputs in the store; resumed if it was interrupted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from bench import registry
from bench.budget import Budget
from bench.engine import plan
from bench.engine.process import Worker
from bench.engine.progress import job_progress
from bench.engine.session import Session
from bench.engine.trials import SETUP_LIMIT, Streak, Trials
from bench.errors import BenchError, WorkerError, one_line
from bench.outputs import Outputs, concatenate, from_npz
from bench.references import References
from bench.schemas import run_problem
from bench.specs import Spec
from bench.store import DamagedFileError, Record, locked, read_checked, read_record, restored, write_record
from bench.tasks.doctor import examine


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
    uses_clock: bool
    control: bool
    hyper_parameters: Mapping[str, Any]
    variants: Sequence[int]
    reference_models: Sequence[int | None]  # of a control row
    documentation: str
    sources: Mapping[str, str]  # of the defaults of hyper-parameters

    @classmethod
    def read(cls, answer: Mapping[str, Any], models: int) -> Description:
        """From what a process that may not be believed answered.

        Raises:
            WorkerError: it is not a description.
        """
        flags = [answer.get(name) for name in ("stackable", "uses_clock", "control")]
        variants, references = answer.get("variants"), answer.get("reference_models")
        parameters, documentation = answer.get("hyper_parameters"), answer.get("documentation")
        sources = answer.get("sources")
        if (
            not all(isinstance(flag, bool) for flag in flags)
            or not (isinstance(variants, list) and len(variants) == models and all(type(v) is int for v in variants))
            or not (isinstance(references, list) and all(v is None or type(v) is int for v in references))
            or not (isinstance(sources, dict) and all(isinstance(text, str) for text in sources.values()))
            or not (isinstance(parameters, dict) and _finite(parameters) and isinstance(documentation, str))
        ):
            raise WorkerError("the plugin's process answered nonsense")
        return cls(bool(flags[0]), bool(flags[1]), bool(flags[2]), parameters, variants, references, documentation, sources)


def _finite(value: object) -> bool:
    """Whether JSON can hold it."""
    try:
        return bool(json.dumps(value, allow_nan=False))
    except ValueError:
        return False


def describe(session: Session, request: Request) -> Description:
    """Load the plugin in a process of its own and look at it.

    Raises:
        BenchError: it cannot be loaded, or does not take these hyper-parameters.
    """
    with session.method_worker(request.plugin, request.spec, {}) as worker:
        try:
            description = Description.read(
                worker.ask("describe", limit=SETUP_LIMIT, models=request.models).values, request.models
            )
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


LONGEST_DOCUMENTATION = 100_000  # characters
_FAILED = ("failure", "finished", "kind")  # what a chunk's record has in place of a file


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
        path = folder / "run.json"
        record = read_record(path, run_problem)
        if record.get("run", folder.name) != folder.name:
            raise DamagedFileError(path, f"it belongs to run {record['run']}")
        return cls(folder, record)

    def save(self) -> None:
        """Write the record."""
        write_record(self.folder / "run.json", self.record, twice=True)

    @property
    def complete(self) -> bool:
        """Whether every trial has outputs, and the solo trials are timed."""
        return all("file" in chunk for chunk in self.record["chunks"]) and not self.missing_solo()

    def finished_trials(self) -> int:
        """How many trials have outputs, or had them when they were run alone after the failure of their stack."""
        if self.record["method"]["control"]:
            return int(self.record["models"])
        return sum(len(chunk["trials"]) if "file" in chunk else chunk.get("finished", 0) for chunk in self.record["chunks"])

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
        stored = concatenate([self.chunk_outputs(chunk) for chunk in chunks])
        return stored.select([order.index(index) for index in range(self.record["models"])])

    def chunk_outputs(self, chunk: Mapping[str, Any]) -> Outputs:
        """Outputs of a finished chunk.

        Raises:
            DamagedFileError: its file is not what the record says.
        """
        path = self.folder / chunk["file"]
        try:
            found = from_npz(read_checked(path, chunk["sha256"]))
        except ValueError as problem:
            raise DamagedFileError(path, str(problem)) from problem
        if len(found) != len(chunk["trials"]):
            raise DamagedFileError(path, f"it has {len(found)} models for {len(chunk['trials'])} trials")
        return found

    def check_outputs(self) -> None:
        """Read every finished chunk.

        Raises:
            DamagedFileError: a file is not what the record says.
        """
        for chunk in self.record["chunks"]:
            if "file" in chunk:
                self.chunk_outputs(chunk)


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
                current.chunk_outputs(chunk)
        except DamagedFileError as problem:
            damaged.append(problem.path)
            chunk.pop("file")
    return damaged


def _find_or_create(session: Session, references: References, request: Request, description: Description) -> Run:
    record = _new_record(session, references, request, description)
    for attempt in count():
        folder = session.store.runs / _folder_name(record, attempt)
        path = folder / "run.json"
        if not path.exists() and not restored(path, run_problem):
            break
        if not request.again or description.control:
            try:
                return Run.read(folder)
            except DamagedFileError as problem:
                if restored(problem.path, run_problem):
                    session.progress.note(f"damaged file {problem.path}: set aside, its copy is used")
                    return Run.read(folder)
                session.progress.note(f"damaged file {problem.path}: set aside, the run starts again")
                problem.path.rename(problem.path.with_suffix(".json.damaged"))
                break
    created = Run(folder, {**record, "attempt": attempt, "run": folder.name})
    wrong = run_problem(created.record)
    if wrong:
        raise BenchError(f"the run of {record['method']['spec'][:100]} cannot be recorded: {one_line(wrong)}")
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
    size = session.stack_size if description.stackable else 1
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
            "summary": one_line(plugin.summary()),
            "documentation": description.documentation[:LONGEST_DOCUMENTATION],
            "sources": {one_line(name): one_line(text)[:1000] for name, text in list(description.sources.items())[:100]},
            "stackable": description.stackable,
            "uses_clock": description.uses_clock,
            "control": description.control,
            "reference_models": list(description.reference_models),
        },
        "task": {
            "name": session.task.name,
            "key": session.task.key,
            "groups": list(session.task.groups),
            "forget_set": session.task.forget_set,
            "remarks": [*session.task.remarks, *examine(session.faces, session.task.groups)],
        },
        "reference_id": references.identifier(request.models),
        "models": request.models,
        "budget": str(request.budget),
        "seed": request.seed,
        "device": {"kind": session.device.kind, "processor": session.device.processor},
        "environment": dict(session.device.environment),
        "retraining_seconds": yardstick,
        "allowance_seconds": request.budget.allowance(yardstick),
        "variants": list(description.variants),
        "stack_size": size,
        "chunks": [{"trials": list(chunk)} for chunk in chunks],
        "solo": [],
    }


def _run_missing(session: Session, references: References, request: Request, current: Run) -> None:
    with Trials(session, references.original_weights(), request, current.record, current.folder) as trials:
        _compute_missing(session, trials, current)
        while _back_off(session, current):
            _compute_missing(session, trials, current)
        _time_solo(session, trials, current)


def _compute_missing(session: Session, trials: Trials, current: Run) -> None:
    method, missing = current.record["method"], [chunk for chunk in current.record["chunks"] if "file" not in chunk]
    if not missing:
        return
    for chunk in missing:
        for key in _FAILED:
            chunk.pop(key, None)
    advance = session.progress.stage(f"{method['name']}: {sum(len(chunk['trials']) for chunk in missing)} trials", len(missing))
    streak = Streak()

    def compute(evaluator: Worker, chunk: Mapping[str, Any]) -> Record | None:
        reached, end = job_progress(advance)
        try:
            return None if streak.broken else trials.chunk(evaluator, chunk["trials"], reached, streak)
        finally:
            end()

    at_once = 1 if method.get("uses_clock") else None
    for chunk, result in session.executor.map(missing, compute, at_once=at_once):
        if isinstance(result, WorkerError):  # of the evaluating process
            raise BenchError(f"evaluating trials failed: {result}") from result
        if result is not None:
            chunk.update(result)
            current.save()
    if streak.broken and any("file" not in chunk and "failure" not in chunk for chunk in missing):
        session.progress.note(f"{method['name']}: {streak.most} trials in a row failed; the rest was not tried")


def _back_off(session: Session, current: Run) -> bool:
    """After a stack that memory did not suffice for: plan the whole run again with stacks of half the size."""
    chunks = current.record["chunks"]
    short = [chunk for chunk in chunks if chunk.get("kind") == "memory" and len(chunk["trials"]) > 1]
    if not short:
        return False
    size = max(len(chunk["trials"]) for chunk in short) // 2
    session.progress.note(f"{current.record['method']['name']}: memory does not suffice; starting again with stacks of {size}")
    current.record.update(stack_size=size, backed_off=True)
    current.record["chunks"] = [{"trials": list(chunk)} for chunk in plan.chunks(current.record["variants"], size)]
    current.save()
    for chunk in chunks:
        if "file" in chunk:
            (current.folder / chunk["file"]).unlink(missing_ok=True)
    return True


def _time_solo(session: Session, trials: Trials, current: Run) -> None:
    """Nothing else runs meanwhile: the time of a solo trial is what the budget is compared with."""
    missing = current.missing_solo()
    if not missing or any("file" not in chunk for chunk in current.record["chunks"]):
        return
    advance = session.progress.stage(f"{current.record['method']['name']}: timing solo trials", len(missing))
    current.record["solo"] = [solo for solo in current.record["solo"] if "seconds" in solo]
    try:
        for trial in missing:
            current.record["solo"].append(trials.solo(trial))
            current.save()
            advance(1)
    except WorkerError as problem:
        trials.log(problem)
        current.record["solo"].append({"failure": str(problem)})
        current.save()


def _control_outputs(references: References, models: Sequence[int | None]) -> Outputs:
    retrained = [index for index in models if index is not None]
    return references.retrained(retrained) if retrained else references.original().select([0] * len(models))
