"""Whether a run is what it says: checksums, schema, scores that follow from its outputs, trials that can be repeated."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from bench import registry, specs
from bench.budget import Budget
from bench.checks import Check
from bench.engine.process import Worker
from bench.engine.runs import Request, Run
from bench.engine.session import Session
from bench.engine.trials import Streak, Trials
from bench.errors import BenchError, WorkerError
from bench.metrics.confidence import logit_scaled_confidence
from bench.metrics.distinguishability import exchanged_distances, p_value
from bench.outputs import Outputs, concatenate, from_npz
from bench.references import References
from bench.results import read_scorecard
from bench.scorecard import Measure, Section
from bench.scoring import Scorer, installed_metrics
from bench.store import Store, read_bytes

TOLERANCE = 1e-6  # relative: another processor may differ in the last bits
FEWEST_RERUN = 8  # fewer models cannot be told from anything
LEVEL = 0.05


def verify(store: Store, run: Run, found: dict[str, Section] | None = None) -> Iterator[Check]:
    """Everything that can be checked without training; the record itself was checked when it was read.

    What the metrics say of the outputs is put into `found`, so that nobody needs to believe the scorecard that came with them.
    """
    yield Check("record", f"fits its schema and its checksum, {len(run.record['chunks'])} chunks")
    yield _budget(run)
    try:
        run.check_outputs()
        yield Check("outputs", f"{run.finished_trials()} trials, checksums and shapes fit")
    except BenchError as problem:
        yield Check("outputs", "", str(problem))
        return
    if not run.complete:
        yield Check("scorecard", "", "the run is not complete", "the command that made it resumes it")
        return
    try:
        scorer = Scorer.of(store, run)
        yield Check("reference", f"{run.record['reference_id']}, {run.record['models']} retrained models")
        yield from _scores(scorer, run, {} if found is None else found)
    except BenchError as problem:
        yield Check("reference", "", str(problem))


def _budget(run: Run) -> Check:
    record = run.record
    allowed, written = Budget.parse(record["budget"]).allowance(record["retraining_seconds"]), record["allowance_seconds"]
    wrong = (
        "" if math.isclose(allowed, written, rel_tol=TOLERANCE) else f"{written} s are allowed where it says {record['budget']}"
    )
    return Check("budget", f"{record['budget']} of the retraining time that the record has", wrong)


def _scores(scorer: Scorer, run: Run, found: dict[str, Section]) -> Iterator[Check]:
    card = read_scorecard(run)
    if card is None or not card.sections:
        yield Check("scorecard", "", "there is none", "`bench score` makes one")
        return
    installed = {item.name: item for item in installed_metrics()[0]}
    for name, item in installed.items():
        found[name] = scorer.recomputed(run, item)
        if name not in card.sections and type(item.metric).__module__.startswith("bench."):  # the sender had it, too
            yield Check(f"metric {name}", "", "the scorecard lacks it", "`bench score` computes what is missing")
    for name, kept in card.sections.items():
        known = installed.get(name)
        if known is None or known.metric.version != kept.version:
            yield Check(
                f"metric {name}", "", "not recomputed: this version of it is not installed", "install the metric's package"
            )
            continue
        fresh = found[name]
        wrong = sorted(_differences(kept.measures, fresh.measures)) or ([name] if set(kept.flags) != set(fresh.flags) else [])
        told = f"{', '.join(wrong[:3])} do not follow from the outputs" if wrong else ""
        yield Check(f"metric {name}", f"{len(fresh.measures)} measures follow from the outputs", told, "`bench score --again`")


def _differences(kept: Mapping[str, Measure], fresh: Mapping[str, Measure]) -> set[str]:
    different = set(kept) ^ set(fresh)
    return different | {name for name in set(kept) & set(fresh) if not _same(kept[name], fresh[name])}


def _same(one: Measure, other: Measure) -> bool:
    """Every field of two measures; numbers up to rounding."""
    return all(_close(getattr(one, field.name), getattr(other, field.name)) for field in fields(Measure))


def _close(one: object, other: object) -> bool:
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-9)
    return one == other


def rerun(session: Session, run: Run, trials: int) -> Iterator[Check]:
    """Repeat whole chunks with at least so many trials, and compare with what the store has.

    On the same kind of processor with the same libraries they are equal bit for bit. If they are not, a permutation test says
    whether their distribution of confidences on the forget set is the same.
    """
    point, method = f"rerun of {trials} trials", run.record["method"]
    try:
        plugin = registry.find_method(specs.parse(method["spec"]).plugin)
    except BenchError as problem:
        yield Check(point, "", str(problem), "install the plugin, or go to the folder that its file is in")
        return
    if plugin.source_hash() != method["source_hash"]:
        yield Check(point, "", "the plugin's source is not what the run was made with", f"install version {method['version']}")
        return
    spec, models = specs.parse(method["spec"]), int(run.record["models"])
    request = Request(plugin, spec, models, Budget.parse(run.record["budget"]), int(run.record["seed"]))
    chosen = _first(run.record["chunks"], trials)
    with tempfile.TemporaryDirectory() as folder:
        try:
            again = _repeat(session, run, request, chosen, Path(folder))
        except (BenchError, WorkerError) as problem:
            yield Check(point, "", str(problem))
            return
    before = concatenate([run.chunk_outputs(chunk) for chunk in chosen])
    yield _compared(f"rerun of {len(before)} trials", before, again, References.of(session).labels()["forget"])


def _first(chunks: Sequence[Mapping[str, list[int]]], trials: int) -> list[Mapping[str, list[int]]]:
    chosen: list[Mapping[str, list[int]]] = []
    for chunk in chunks:
        if sum(len(each["trials"]) for each in chosen) < trials:
            chosen.append(chunk)
    return chosen


def _repeat(session: Session, run: Run, request: Request, chunks: Sequence[Mapping[str, list[int]]], folder: Path) -> Outputs:
    advance = session.progress.stage(f"{request.plugin.name}: repeating trials", len(chunks))
    parts: dict[int, Outputs] = {}
    original = References.of(session).original_weights()
    with Trials(session, original, request, run.record, folder) as trials:

        def compute(evaluator: Worker, chunk: Mapping[str, list[int]]) -> Outputs:
            done = trials.chunk(evaluator, chunk["trials"], lambda share: None, Streak())
            if "failure" in done:
                raise WorkerError(done["failure"])
            return from_npz(read_bytes(folder / done["file"], 2**32))

        at_once = 1 if run.record["method"].get("uses_clock") else None
        for chunk, outputs in session.executor.map(chunks, compute, at_once=at_once):
            if isinstance(outputs, WorkerError):
                raise outputs
            parts[chunk["trials"][0]] = outputs
            advance(1)
    return concatenate([parts[chunk["trials"][0]] for chunk in chunks])


def _compared(point: str, before: Outputs, again: Outputs, labels: np.ndarray) -> Check:
    if before.digest() == again.digest():
        return Check(point, "bit for bit the stored outputs")
    if len(before) < FEWEST_RERUN:
        return Check(point, f"other numbers than stored; {len(before)} trials are too few to compare distributions")
    ours, theirs = (logit_scaled_confidence(outputs.logits["forget"], labels) for outputs in (again, before))
    chance = p_value(exchanged_distances(ours, theirs))
    seen = f"other numbers than stored, of the same distribution as far as these trials show (p = {chance:.3f})"
    return Check(point, seen, f"other confidences than stored (p = {chance:.3f})" if chance < LEVEL else "")
