"""All that the metrics say of a run, as one versioned record: values with units, directions, intervals, and flags."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

from bench.errors import one_line
from bench.metrics.metric import Baseline, Better, Estimate, Findings, Metric, Quantity
from bench.metrics.resampling import Z, interval

RESERVED = frozenset(
    {"screening", "control", "over budget", "uses clock", "smaller stacks"}
)  # badges that a run's record decides
VERSION = 2  # of the record's form; older records are computed again


@dataclass(frozen=True)
class Measure:
    """One number of a scorecard."""

    value: float
    unit: str
    better: Better
    interval: tuple[float, float] | None = None  # 95 %, approximate
    retrained: float | None = None  # what retrained models get
    relative: float | None = None  # value / retrained, where higher or lower is better
    gap: float | None = None  # value - retrained, where retrained models are the target; either direction is a difference
    gap_interval: tuple[float, float] | None = None
    original: float | None = None  # what the original model gets
    self_test: bool | None = None  # of an attack: whether it sees members of the training set under the original model


@dataclass(frozen=True)
class Section:
    """What one metric says of a run, or why it could not."""

    version: int
    measures: Mapping[str, Measure] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)  # flag -> what was seen
    details: Mapping[str, Sequence[float | None]] = field(default_factory=dict)  # per example or per resample
    problem: str = ""


@dataclass(frozen=True)
class Scorecard:
    """What is known of a run: a section per metric, by the name it is installed under."""

    sections: Mapping[str, Section] = field(default_factory=dict)
    refused: str = ""  # why the run cannot be scored at all

    def record(self) -> dict[str, Any]:
        """As stored in `scorecard.json`."""
        sections = {name: {**vars(each), "measures": _plain(each.measures)} for name, each in self.sections.items()}
        return {"scorecard_version": VERSION, "sections": sections, "refused": self.refused}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Scorecard:
        """The inverse of `record`."""
        sections = {name: _section(section) for name, section in record["sections"].items()}
        return cls(sections, str(record["refused"]))

    def with_section(self, name: str, section: Section) -> Scorecard:
        """This scorecard with another metric, or another version of it."""
        return Scorecard({**self.sections, name: section})

    @cached_property
    def measures(self) -> Mapping[str, Measure]:
        """Every number of every metric."""
        return {key: measure for section in self.sections.values() for key, measure in section.measures.items()}

    @cached_property
    def flags(self) -> Mapping[str, str]:
        """What should make a reader doubt, and what was seen."""
        return {flag: seen for section in self.sections.values() for flag, seen in section.flags.items()}

    @cached_property
    def details(self) -> Mapping[str, Sequence[float | None]]:
        """Values per example or per resample."""
        return {key: values for section in self.sections.values() for key, values in section.details.items()}

    @cached_property
    def problems(self) -> Mapping[str, str]:
        """Metrics that failed, and why."""
        return {name: section.problem for name, section in self.sections.items() if section.problem}


def section(metric: Metric, baseline: Baseline, findings: Findings) -> Section:
    """What a metric found, beside what it says of retrained models and of the original one.

    Raises:
        ValueError: it answered something that it did not declare, or a value that is not finite.
    """
    measures = {name: _assemble(metric, name, estimate, baseline) for name, estimate in findings.estimates.items()}
    known = {**baseline.details, **findings.details}
    details = {str(name): [_number(value) for value in each] for name, each in known.items()}
    reserved = RESERVED & set(findings.flags)
    if reserved:
        raise ValueError(f"the flag {sorted(reserved)[0]!r} is not a metric's to raise")
    flags = {one_line(flag): one_line(seen) for flag, seen in findings.flags.items()}
    return Section(metric.version, {name: each for name, each in measures.items() if each is not None}, flags, details)


def _plain(measures: Mapping[str, Measure]) -> dict[str, Any]:
    """As `dataclasses.asdict`, which copies every number, would say in many times the time."""
    return {name: dict(vars(measure)) for name, measure in measures.items()}


def _declared_name(measure: str) -> str:
    return measure.partition(".")[0]


def _assemble(metric: Metric, name: str, estimate: Estimate, baseline: Baseline) -> Measure | None:
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
        unit=quantity.unit,
        better=quantity.better,
        interval=_interval(estimate, quantity),
        retrained=retrained.value if retrained else None,
        relative=estimate.value / retrained.value if retrained and retrained.value and not target else None,
        gap=gap,
        gap_interval=_gap_interval(gap, estimate, retrained),
        original=original.value if original else None,
        self_test=_sees(original, retrained) if quantity.attack else None,
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


def _section(record: Mapping[str, Any]) -> Section:
    return Section(
        version=_integer(record["version"]),
        measures={_text(name): _measure(each) for name, each in record["measures"].items()},
        flags={_text(flag): _text(seen) for flag, seen in record["flags"].items()},
        details={_text(name): [_number(value) for value in values] for name, values in record["details"].items()},
        problem=_text(record["problem"]),
    )


def _measure(record: Mapping[str, Any]) -> Measure:
    """A measure from a file, which anybody may have written."""
    if record["better"] not in get_args(Better) or not isinstance(record["self_test"], bool | None):
        raise ValueError("a measure has no direction, or an unclear self-test")
    value = _number(record["value"])
    if value is None:
        raise ValueError("a measure has no value")
    return Measure(
        value=value,
        unit=_text(record["unit"]),
        better=record["better"],
        interval=_pair(record["interval"]),
        gap_interval=_pair(record["gap_interval"]),
        self_test=record["self_test"],
        **{name: _number(record[name]) for name in ("retrained", "relative", "gap", "original")},
    )


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{str(value)[:40]!r} is not a finite number")
    return float(value)


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("a version is not a whole number")
    return value


def _pair(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError("an interval has not two ends")
    low, high = (_number(end) for end in value)
    if low is None or high is None:
        raise ValueError("an interval has not two ends")
    return low, high


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!r} is not text")
    return one_line(value)
