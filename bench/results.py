"""Runs as rows: scores what is complete, and says of the rest how far it came and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.engine.runs import Run
from bench.errors import BenchError, in_reading_order
from bench.scorecard import VERSION, Measure, Scorecard
from bench.store import DamagedFileError, Record, Store, read_record

MEND = "`bench score` computes it again"
OVER_BUDGET = "over budget"
SCREENING = 32  # fewer models are good enough to develop with, too few to publish


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

    @property
    def label(self) -> str:
        """The method with the hyper-parameters that differ from its defaults; of a file its name, not where it lay."""
        method = self.record["method"]
        return in_reading_order(f"{method['name']}{''.join(method['spec'].partition('[')[1:])}")

    def measure(self, name: str) -> Measure | None:
        """A measure, if the run has it."""
        return self.scorecard.measures.get(name) if self.scorecard else None

    def value(self, name: str) -> float | None:
        """A measure's value, if the run has it."""
        found = self.measure(name)
        return found.value if found else None

    def detail(self, metric: str, name: str) -> Sequence[float | None]:
        """Values per example or per resample that a metric keeps; empty if it does not."""
        section = self.scorecard.sections.get(metric) if self.scorecard else None
        return section.details.get(name, ()) if section else ()

    @property
    def badges(self) -> list[str]:
        """What a reader should know beside the numbers: flags, and how much the run is worth."""
        if self.scorecard is None:
            return []
        own = {
            "screening": self.record["models"] < SCREENING,
            "control": self.control,
            OVER_BUDGET: self.over_budget,
            "uses clock": self.record["method"].get("uses_clock", False),  # its numbers depend on the machine's speed
            "smaller stacks": self.record.get("backed_off", False),  # memory did not suffice for the usual ones
        }
        return [*(badge for badge, holds in own.items() if holds), *self.scorecard.flags]

    @property
    def over_budget(self) -> bool:
        """Whether the median of the solo trials exceeds the budget, whatever any metric says."""
        seconds = [solo["seconds"] for solo in self.record["solo"] if "seconds" in solo]
        return bool(seconds) and median(seconds) > self.record["allowance_seconds"]


def row(run: Run) -> Row:
    """The row of a run as it is in the store."""
    scorecard = read_scorecard(run) if run.complete else None
    if scorecard and scorecard.sections:
        return Row(run.folder, run.record, scorecard, "")
    return Row(run.folder, run.record, None, (scorecard.refused if scorecard else "") or _why_unscored(run))


def read_scorecard(run: Run) -> Scorecard | None:
    """The scorecard that lies beside a run; None if there is none, or one of an older form.

    Raises:
        DamagedFileError: it cannot be read.
        BenchError: a newer version wrote it.
    """
    path = run.folder / "scorecard.json"
    if not path.exists():
        return None
    record = read_record(path, mend=MEND)
    if record.get("run", run.folder.name) != run.folder.name:
        raise DamagedFileError(path, "it belongs to another run", mend=MEND)
    version = record.get("scorecard_version")
    if not isinstance(version, int):
        raise DamagedFileError(path, "its version is no number", mend=MEND)
    if version > VERSION:
        raise BenchError(f"{path} was written by a newer bench; upgrade unlearning-bench")
    if version < VERSION:
        return None
    try:
        return Scorecard.from_record(record)
    except (TypeError, ValueError, AttributeError, KeyError) as problem:
        raise DamagedFileError(path, str(problem), mend=MEND) from problem


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
    Run(item.folder, item.record).check_outputs()


def _why_unscored(run: Run) -> str:
    done, models = run.finished_trials(), run.record["models"]
    reason = run.first_failure() or (
        "interrupted; the same command resumes it" if done < models else "not scored yet; `bench score` does it"
    )
    return f"{done}/{models} trials: {reason}"
