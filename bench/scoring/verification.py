"""Whether a run is what it says: checksums, schema, scores that follow from its outputs, trials that can be repeated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from bench.budget import Budget
from bench.errors import BenchError, CheckResult
from bench.metrics.installed import installed_metrics
from bench.metrics.metric import Metric
from bench.scoring.scorecard import Measure, Section, read_scorecard
from bench.scoring.scorer import Scorer
from bench.store.runs import Run
from bench.store.store import Store

TOLERANCE = 1e-6  # relative: another processor may differ in the last bits


def verify(store: Store, run: Run, found: dict[str, Section] | None = None) -> Iterator[CheckResult]:
    """Everything that can be checked without training; the record itself was checked when it was read.

    What the metrics say of the outputs is put into `found`, so that nobody needs to believe the scorecard that came with them.
    """
    yield CheckResult("record", f"fits its schema and its checksum, {len(run.record.chunks)} chunks")
    yield _budget(run)
    try:
        run.check_outputs()
        yield CheckResult("outputs", f"{run.record.finished_trials} trials, checksums and shapes fit")
    except BenchError as problem:
        yield CheckResult("outputs", "", str(problem))
        return
    if not run.record.complete:
        yield CheckResult("scorecard", "", "the run is not complete", "the command that made it resumes it")
        return
    try:
        scorer = Scorer.of(store, run)
        yield CheckResult("reference", f"{run.record.reference_id}, {run.record.models} retrained models")
        yield from _scores(scorer, run, {} if found is None else found)
    except BenchError as problem:
        yield CheckResult("reference", "", str(problem))


def _budget(run: Run) -> CheckResult:
    record = run.record
    allowed, written = Budget.parse(record.budget).allowance(record.retraining_seconds), record.allowance_seconds
    fits = math.isclose(allowed, written, rel_tol=TOLERANCE)
    wrong = "" if fits else f"{written} s are allowed where it says {record.budget}"
    return CheckResult("budget", f"{record.budget} of the retraining time that the record has", wrong)


def _scores(scorer: Scorer, run: Run, found: dict[str, Section]) -> Iterator[CheckResult]:
    card = read_scorecard(run)
    if card is None or not card.sections:
        yield CheckResult("scorecard", "", "there is none", "`bench score` makes one")
        return
    installed = {item.name: item for item in installed_metrics()[0]}
    found.update(scorer.recomputed(run, installed.values()))
    for name, item in installed.items():
        if name not in card.sections and type(item.metric).__module__.startswith("bench."):  # the sender had it, too
            yield CheckResult(f"metric {name}", "", "the scorecard lacks it", "`bench score` computes what is missing")
    for name, kept in card.sections.items():
        known = installed.get(name)
        if known is None or known.metric.version != kept.version:
            yield CheckResult(
                f"metric {name}", "", "not recomputed: this version of it is not installed", "install the metric's package"
            )
            continue
        fresh = found[name]
        wrong = sorted(_differences(kept.measures, fresh.measures, _compared(known.metric))) or (
            [name] if set(kept.flags) != set(fresh.flags) else []
        )
        told = f"{', '.join(wrong[:3])} do not follow from the outputs" if wrong else ""
        yield CheckResult(
            f"metric {name}", f"{len(fresh.measures)} measures follow from the outputs", told, "`bench score --again`"
        )


def _compared(metric: Metric) -> list[str]:
    """Fields of a measure that follow from the run and its N retrained models; who verifies may have other further ones."""
    further = {"retrained", "relative", "gap", "gap_interval"} if metric.further else set()
    return [field for field in Measure.__struct_fields__ if field not in further]


def _differences(kept: Mapping[str, Measure], fresh: Mapping[str, Measure], fields: Sequence[str]) -> set[str]:
    different = set(kept) ^ set(fresh)
    return different | {name for name in set(kept) & set(fresh) if not _same(kept[name], fresh[name], fields)}


def _same(one: Measure, other: Measure, fields: Sequence[str]) -> bool:
    """Fields of two measures; numbers up to rounding."""
    return all(_close(getattr(one, field), getattr(other, field)) for field in fields)


def _close(one: object, other: object) -> bool:
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-9)
    return one == other
