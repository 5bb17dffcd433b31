"""Runs as rows: scores what is complete, and says of the rest how far it came and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.errors import BenchError, in_reading_order
from bench.metrics.timing import Timing
from bench.scoring.ceilings import ABOVE, ABOVE_CEILING, above
from bench.scoring.scorecard import Measure, Scorecard, read_scorecard
from bench.store.exchange import SCORECARD
from bench.store.records import RunRecord
from bench.store.runs import Run
from bench.store.store import Store

OVER_BUDGET, BORDERLINE, BUSY_MACHINE = "over budget", "borderline", "timed on a busy machine"
UNEVEN, UTILITY_LOST, SELF_REPORTED = "uneven times", "utility lost", "self-reported"
USEFUL = {"test_accuracy": 0.95, "retain_accuracy": 0.90}  # what a row has to keep, of retrained models' (protocol 8.4)
SCREENING = 32  # fewer models are good enough to develop with, too few to publish


@dataclass(frozen=True)
class Row:
    """One run on a board. Without a scorecard, `failure` says why."""

    folder: Path
    record: RunRecord
    scorecard: Scorecard | None
    failure: str

    @property
    def control(self) -> bool:
        """Whether it is a control row: shown, not ranked."""
        return self.record.method.control

    @property
    def label(self) -> str:
        """The method with the hyper-parameters that differ from its defaults; of a file its name, not where it lay."""
        method = self.record.method
        return in_reading_order(f"{method.name}{''.join(method.spec.partition('[')[1:])}")

    @cached_property
    def timing(self) -> Timing:
        """How much of one retraining its trials take, and how much they may."""
        return self.record.timing

    def measure(self, name: str) -> Measure | None:
        """A measure, if the run has it."""
        return self.scorecard.measures.get(name) if self.scorecard else None

    def value(self, name: str) -> float | None:
        """A measure's value, if the run has it."""
        found = self.measure(name)
        return found.value if found else None

    def details(self, metric: str) -> Mapping[str, Sequence[float | None]]:
        """Values per example, per model or per resample that a metric keeps; empty if it does not."""
        section = self.scorecard.sections.get(metric) if self.scorecard else None
        return section.details if section else {}

    @property
    def useful(self) -> Mapping[str, float]:
        """Accuracies that a row must keep, as shares of retrained models', where they are known."""
        found = {name: self.measure(name) for name in USEFUL}
        return {name: measure.relative for name, measure in found.items() if measure and measure.relative is not None}

    @property
    def lost(self) -> Mapping[str, float]:
        """Those of which less is left than is asked."""
        return {name: share for name, share in self.useful.items() if share < USEFUL[name]}

    @property
    def badges(self) -> list[str]:
        """What a reader should know beside the numbers: flags, and how much the run is worth."""
        if self.scorecard is None:
            return []
        own = {
            "screening": self.record.models < SCREENING,
            "control": self.control,
            SELF_REPORTED: self.record.self_reported,
            OVER_BUDGET: self.timing.over_budget,
            BORDERLINE: self.timing.borderline,
            BUSY_MACHINE: self.timing.on_busy_machine,
            UNEVEN: self.timing.uneven,
            UTILITY_LOST: not self.control and bool(self.lost),
            ABOVE_CEILING: not self.control and above(self.scorecard) > ABOVE,
            "uses clock": self.record.method.uses_clock,  # its numbers depend on the machine's speed
            "smaller stacks": self.record.backed_off,  # memory did not suffice for the usual ones
            "reconstruction": bool(self.record.method.reconstruction),
            "deterministic": self.record.method.deterministic,  # also a flag, where it was seen
        }
        return list(dict.fromkeys([*(badge for badge, holds in own.items() if holds), *self.scorecard.flags]))


def row(run: Run) -> Row:
    """The row of a run as it is in the store."""
    scorecard = read_scorecard(run) if run.record.complete else None
    if scorecard and scorecard.sections:
        return Row(run.folder, run.record, scorecard, "")
    earlier = scorecard is None and (run.folder / SCORECARD).exists()
    return Row(run.folder, run.record, None, (scorecard.refused if scorecard else "") or _why_unscored(run, earlier=earlier))


def distinct_names(rows: Sequence[Row]) -> list[str]:
    """Methods, with as much of seed, version and run as tells them apart within the division."""
    names = [item.label for item in rows]
    for told in (_seed, _version, _run):
        count = Counter(names)
        names = [f"{name}, {told(item)}" if count[name] > 1 else name for name, item in zip(names, rows, strict=True)]
    return names


def _seed(item: Row) -> str:
    return f"seed {item.record.seed}"


def _version(item: Row) -> str:
    return f"version {item.record.method.version or item.record.method.source_hash[:6]}"


def _run(item: Row) -> str:
    return f"run {item.folder.name[-12:]}"


def rows(store: Store) -> tuple[list[Row], list[BenchError]]:
    """Every run of a store that can be read, and what is wrong with the others."""
    found, problems = [], []
    for folder in store.run_folders():
        try:
            found.append(row(Run.read(folder)))
        except BenchError as problem:
            problems.append(problem)
    return found, problems


def _why_unscored(run: Run, *, earlier: bool) -> str:
    done, models = run.record.finished_trials, run.record.models
    unscored = f"{'scored by an earlier bench' if earlier else 'not scored yet'}; `bench score` does it"
    reason = run.record.failure or ("interrupted; the same command resumes it" if done < models else unscored)
    return f"{done}/{models} trials: {reason}"
