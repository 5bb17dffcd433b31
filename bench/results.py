"""Runs as rows: scores what is complete, and says of the rest how far it came and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.engine.runs import Run
from bench.errors import BenchError
from bench.references import References
from bench.scorecard import Baseline, Scorecard, Timing, baseline, score
from bench.store import DamagedFileError, Record, Store, read_record, write_record


@dataclass(frozen=True)
class Row:
    """One run on a board. Without a scorecard, `failure` says why."""

    folder: Path
    record: Record
    scorecard: Scorecard | None
    failure: str

    @property
    def control(self) -> bool:
        """Whether it is a control row: shown, not ranked."""
        return bool(self.record["method"]["control"])

    def value(self, measure: str) -> float | None:
        """A measure's value, if there is one."""
        found = self.scorecard.measures.get(measure) if self.scorecard else None
        return found.value if found else None

    def retrained(self, measure: str) -> float | None:
        """What the retrained models get, if that is known."""
        found = self.scorecard.measures.get(measure) if self.scorecard else None
        return found.retrained if found else None


def finish(run: Run, references: References) -> Row:
    """Score a run that is complete, and keep the scorecard beside it."""
    if not run.complete:
        return row(run)
    models = int(run.record["models"])
    retrained = references.retrained(range(models))
    labels = references.labels()
    cached = references.cached_baseline(run.record["reference_id"])
    reference = Baseline(**cached) if cached else baseline(retrained, labels)
    if not cached:
        references.keep_baseline(run.record["reference_id"], asdict(reference))
    timing = Timing(
        solo=[solo["seconds"] for solo in run.record["solo"]],
        retraining=run.record["retraining_seconds"],
        allowance=run.record["allowance_seconds"],
    )
    badges = ["control"] if run.record["method"]["control"] else []
    scorecard = score(run.outputs(references), retrained, labels, reference, timing, badges)
    write_record(run.folder / "scorecard.json", scorecard.record())
    return row(run)


def row(run: Run) -> Row:
    """The row of a run as it is in the store."""
    path = run.folder / "scorecard.json"
    scorecard = _read_scorecard(path) if run.complete and path.exists() else None
    failure = "" if scorecard else _why_unscored(run)
    return Row(run.folder, run.record, scorecard, failure)


def _read_scorecard(path: Path) -> Scorecard:
    record = read_record(path, needs=("measures", "epsilons", "badges", "provisional_ceiling"))
    try:
        return Scorecard.from_record(record)
    except (TypeError, AttributeError) as problem:
        raise DamagedFileError(path, str(problem)) from problem


def rows(store: Store) -> tuple[list[Row], list[BenchError]]:
    """Every run of a store that can be read, and what is wrong with the others."""
    found, problems = [], []
    for folder in store.run_folders():
        try:
            found.append(row(Run.read(folder)))
        except BenchError as problem:
            problems.append(problem)
    return found, problems


def check_outputs(item: Row) -> None:
    """Read every outputs file of a run.

    Raises:
        DamagedFileError: one is not what the record says.
    """
    run = Run(item.folder, item.record)
    for chunk in item.record["chunks"]:
        if "file" in chunk:
            run.read_chunk(chunk)


def divisions(found: Iterable[Row]) -> list[list[Row]]:
    """Rows that may be ranked together: of one task key, reference, N, budget and device kind."""
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for item in found:
        record = item.record
        key = (record["task"]["key"], record["reference_id"], record["models"], record["budget"], record["device"]["kind"])
        grouped.setdefault(key, []).append(item)
    return list(grouped.values())


@dataclass(frozen=True)
class Ceiling:
    """What retraining itself scores in a division."""

    value: float
    provisional: bool


def ceiling(division: list[Row]) -> Ceiling | None:
    """The `retrain` row's forgetting score; before there is one, that of halves of the retrained models."""
    for candidate in division:
        models, score = candidate.record["models"], candidate.value("forgetting_score")
        if score and candidate.record["method"]["reference_models"] == list(range(models, 2 * models)):
            return Ceiling(score, provisional=False)
    for candidate in division:
        if candidate.scorecard:
            return Ceiling(candidate.scorecard.provisional_ceiling, provisional=True)
    return None


def ranked(division: list[Row]) -> list[tuple[int | None, Row]]:
    """Best final score first; control rows keep their place without a rank, rows over budget or without score come last."""

    def order(item: Row) -> tuple[bool, float]:
        return (not _ranks(item) and not item.control, -(item.value("final_score") or 0.0))

    rank, answer = 0, []
    for item in sorted(division, key=order):
        rank += _ranks(item)
        answer.append((rank if _ranks(item) else None, item))
    return answer


def _ranks(item: Row) -> bool:
    return item.scorecard is not None and not item.control and "over budget" not in item.scorecard.badges


def _why_unscored(run: Run) -> str:
    done, models = run.finished_trials(), run.record["models"]
    reason = run.first_failure() or ("interrupted; the same command resumes it" if done < models else "not scored yet")
    return f"{done}/{models} trials: {reason}"


def as_json(item: Row, ceiling: Ceiling | None) -> Mapping[str, Any]:
    """A row as plain data."""
    return {
        "run": item.folder.name,
        **{key: item.record[key] for key in ("method", "task", "reference_id", "models", "budget", "seed", "device")},
        "ceiling": asdict(ceiling) if ceiling else None,
        "failure": item.failure,
        "scorecard": item.scorecard.record() if item.scorecard else None,
    }
