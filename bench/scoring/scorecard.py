"""All that the metrics say of a run, as one versioned record: values with units, directions, intervals, and flags."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from bench.errors import LONGEST, BenchError, one_line
from bench.metrics.metric import Baseline, Estimate, Findings, Metric
from bench.metrics.quantity import MOST_DECIMALS, Better, Family, Quantity, Table
from bench.metrics.resampling import Z, interval
from bench.store.exchange import SCORECARD
from bench.store.fields import Line, Number, Record, checked
from bench.store.files import DamagedFileError, EarlierVersionError, as_record, read_fields, write_record
from bench.store.runs import Run

HEADLINE, HEADLINE_METRIC = "memory_left", "memory-left"  # rows are ranked by it: the smaller its absolute value, the better
CHALLENGE, CHALLENGE_METRIC = "final_score", "challenge"  # and by the challenge's score: the larger, the better
# Badges that are decided by a run's record, or by what several numbers say together.
RESERVED = frozenset(
    {"screening", "control", "over budget", "borderline", "timed on a busy machine", "uneven times"}
    | {"utility lost", "above-ceiling", "uses clock", "smaller stacks", "self-reported", "reconstruction"}
)
VERSION = 4  # of the scorecard's form; older ones are computed again
MEND = "`bench score` computes it again"
# As `one_line` makes it: nothing that moves a cursor, breaks a line or turns the direction of reading.
_UNSEEN = r"\x00-\x1f\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202f\u205f-\u206f\ufeff\ud800-\udfff"
Shown = Annotated[str, Meta(max_length=LONGEST + 3, pattern=rf"\A[^{_UNSEEN}]*\Z")]


class Control(Record, frozen=True, kw_only=True):
    """A number on a split that nobody asked to forget."""

    value: Number
    retrained: Number | None = None


class Measure(Record, frozen=True, kw_only=True):
    """One number of a scorecard."""

    value: Number
    unit: Shown
    better: Better
    interval: tuple[Number, Number] | None = None  # 95 %, approximate
    retrained: Number | None = None  # what retrained models get
    relative: Number | None = None  # value / retrained, where higher or lower is better
    gap: Number | None = None  # value - retrained, where retrained models are the target; either direction is a difference
    gap_interval: tuple[Number, Number] | None = None
    original: Number | None = None  # what the original model gets
    self_test: bool | None = None  # of an attack: whether it sees members of the training set under the original model
    controls: dict[Shown, Control] = msgspec.field(default_factory=dict)  # by split: the same on people who are not forgotten

    @property
    def margin(self) -> Number | None:
        """By how much it may be larger, 95 %; None: nobody knows."""
        return self.interval[1] - self.value if self.interval else None


class Presentation(Record, frozen=True, kw_only=True):
    """How a quantity is shown, as its metric says; fields are those of `Quantity`."""

    title: Shown = ""
    meaning: Shown = ""
    family: Family = "other"
    table: Table = ""
    decimals: Annotated[int, Meta(ge=0, le=MOST_DECIMALS)] = 3
    folded: bool = False


class Section(Record, frozen=True, kw_only=True):
    """What one metric says of a run, or why it could not."""

    version: int
    measures: dict[Shown, Measure] = msgspec.field(default_factory=dict)
    quantities: dict[Shown, Presentation] = msgspec.field(default_factory=dict)  # all that it declares
    flags: dict[Shown, Shown] = msgspec.field(default_factory=dict)  # flag -> what was seen
    details: dict[Shown, list[Number | None]] = msgspec.field(default_factory=dict)  # per example or per resample
    notes: list[Shown] = msgspec.field(default_factory=list)  # how numbers came about, or why there is none
    problem: Shown = ""
    further: Annotated[int, Meta(ge=0)] = 0  # sets of further retrained models that tell what it says of retrained ones

    def presentation(self, measure: str) -> Presentation:
        """How one of its measures is shown."""
        return self.quantities.get(_declared_name(measure), Presentation())


class Scorecard(Record, frozen=True, kw_only=True, dict=True):
    """`scorecard.json`: what is known of a run, a section per metric, by the name it is installed under."""

    scorecard_version: int = VERSION
    sections: dict[Shown, Section] = msgspec.field(default_factory=dict)
    refused: Line = ""  # why the run cannot be scored at all
    run: Line = ""

    def with_section(self, name: str, section: Section) -> Scorecard:
        """This scorecard with another metric, or another version of it; a number is in the section that came last."""
        others = {
            key: other
            for key, other in self.sections.items()
            if key == name or other.measures.keys().isdisjoint(section.measures)
        }
        return replace(self, sections={**others, name: section}, refused="")

    def only(self, metrics: Sequence[str]) -> Scorecard:
        """What some metrics say."""
        return replace(self, sections={name: section for name, section in self.sections.items() if name in metrics})

    def __repr__(self) -> str:
        flagged = f", flags: {', '.join(self.flags)}" if self.flags else ""
        return f"Scorecard of {self.run or 'a run'}: {len(self.measures)} numbers{flagged}"

    @cached_property
    def measures(self) -> Mapping[str, Measure]:
        """Every number of every metric."""
        return {key: measure for section in self.sections.values() for key, measure in section.measures.items()}

    @cached_property
    def presentations(self) -> Mapping[str, Presentation]:
        """How each number is shown."""
        return {key: section.presentation(key) for section in self.sections.values() for key in section.measures}

    @cached_property
    def flags(self) -> Mapping[str, str]:
        """What should make a reader doubt, and what was seen."""
        return {flag: seen for section in self.sections.values() for flag, seen in section.flags.items()}

    @cached_property
    def details(self) -> Mapping[str, Sequence[float | None]]:
        """Values per example or per resample."""
        return {key: values for section in self.sections.values() for key, values in section.details.items()}

    @cached_property
    def notes(self) -> Mapping[str, Sequence[str]]:
        """What metrics say of how their numbers came about, by metric."""
        return {name: section.notes for name, section in self.sections.items() if section.notes}

    @cached_property
    def problems(self) -> Mapping[str, str]:
        """Metrics that failed, and why."""
        return {name: section.problem for name, section in self.sections.items() if section.problem}


class _Version(Record, frozen=True, kw_only=True):
    """What is looked at first: scorecards of other versions may hold anything else."""

    scorecard_version: Annotated[int, Meta(ge=0)]


def read_scorecard(run: Run) -> Scorecard | None:
    """The scorecard that lies beside a run; None if there is none, or one of an older form.

    Raises:
        DamagedFileError: it cannot be read.
        BenchError: a newer version wrote it.
    """
    path = run.folder / SCORECARD
    if not path.exists():
        return None
    try:
        content = read_fields(path, MEND)
    except EarlierVersionError:
        return None
    version = as_record(path, content, _Version, MEND).scorecard_version
    if version > VERSION:
        raise BenchError(f"{path} was written by a newer bench; upgrade unlearning-bench")
    if version < VERSION:
        return None
    card = as_record(path, content, Scorecard, MEND)
    if card.run not in ("", run.folder.name):
        raise DamagedFileError(path, "it belongs to another run", mend=MEND)
    return card


def keep_scorecard(run: Run, card: Scorecard) -> Scorecard:
    """Write a run's scorecard beside it; returns it as it will be read."""
    kept = replace(card, run=run.folder.name)
    write_record(run.folder / SCORECARD, kept)
    return kept


def section(metric: Metric, baseline: Baseline, findings: Findings, further: int = 0) -> Section:
    """What a metric found, beside what it says of retrained models and of the original one.

    Raises:
        ValueError: it answered something that it did not declare, or a value that is not finite.
    """
    measures = {
        name: _assemble(metric, name, estimate, baseline, _controls(name, findings, baseline))
        for name, estimate in findings.estimates.items()
    }
    known = {**baseline.details, **findings.details}
    details = {one_line(name): list(each) for name, each in known.items()}
    flags = {one_line(flag): one_line(seen) for flag, seen in findings.flags.items()}
    reserved = RESERVED & set(flags)
    if reserved:
        raise ValueError(f"the flag {sorted(reserved)[0]!r} is not a metric's to raise")
    kept = {one_line(name): each for name, each in measures.items() if each is not None}
    about, notes = presentations(metric), [one_line(note) for note in findings.notes]
    return checked(
        Section(
            version=metric.version,
            measures=kept,
            quantities=about,
            flags=flags,
            details=details,
            notes=notes,
            further=further,
        )
    )


def presentations(metric: Metric) -> dict[str, Presentation]:
    """How the quantities of a metric are shown, by their names."""
    return {
        quantity.name: Presentation(
            title=one_line(quantity.head),
            meaning=one_line(quantity.meaning),
            family=quantity.family,
            table=quantity.table,
            decimals=quantity.decimals,
            folded=quantity.folded,
        )
        for quantity in metric.quantities
    }


def _declared_name(measure: str) -> str:
    return measure.partition(".")[0]


def _controls(name: str, findings: Findings, baseline: Baseline) -> dict[str, Control]:
    known = {split: values[name] for split, values in findings.controls.items() if name in values}
    for split, value in known.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} on {split} is {value}")
    return {
        one_line(split): Control(value=float(value), retrained=baseline.controls.get(split, {}).get(name))
        for split, value in known.items()
    }


def _assemble(metric: Metric, name: str, estimate: Estimate, baseline: Baseline, controls: dict[str, Control]) -> Measure | None:
    """A measure; None for an attack's value without that of retrained models to compare it with."""
    quantity = _quantity(metric, name)
    retrained, original = baseline.retrained.get(name), baseline.original.get(name)
    for each in (estimate, retrained, original):
        if each and not (math.isfinite(each.value) and math.isfinite(each.sd or 0.0)):
            raise ValueError(f"{name} is {each.value}, deviation {each.sd}")
    if quantity.attack and retrained is None:
        return None
    target = quantity.better == "as retrained"
    gap = estimate.value - retrained.value if retrained and target else None
    return Measure(
        value=float(estimate.value),
        unit=one_line(quantity.unit),
        better=quantity.better,
        interval=_interval(estimate, quantity),
        retrained=retrained.value if retrained else None,
        relative=estimate.value / retrained.value if retrained and retrained.value and not target else None,
        gap=gap,
        gap_interval=_gap_interval(gap, estimate, retrained),
        original=original.value if original else None,
        self_test=baseline.sees.get(name, _sees(original, retrained)) if quantity.attack else None,
        controls=controls,
    )


def _quantity(metric: Metric, name: str) -> Quantity:
    for quantity in metric.quantities:
        if quantity.name == _declared_name(name):
            return quantity
    raise ValueError(f"{name} is not among the quantities that it declares")


def _interval(estimate: Estimate, quantity: Quantity) -> tuple[float, float] | None:
    """Cut off where values cannot be."""
    if estimate.sd is None:
        return None
    low, high = interval(estimate.value, estimate.sd)
    return max(low, float(quantity.lowest)), min(high, float(quantity.highest))


def _gap_interval(gap: float | None, estimate: Estimate, retrained: Estimate | None) -> tuple[float, float] | None:
    if gap is None or retrained is None or estimate.sd is None or retrained.sd is None:
        return None
    return interval(gap, math.hypot(estimate.sd, retrained.sd))


def _sees(original: Estimate | None, retrained: Estimate | None) -> bool | None:
    """Whether the original model's value differs from the retrained models' beyond chance."""
    if original is None or retrained is None:
        return None
    return abs(original.value - retrained.value) > Z * math.hypot(original.sd or 0.0, retrained.sd or 0.0)
