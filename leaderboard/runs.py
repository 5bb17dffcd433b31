"""What the pages of single runs show."""

from __future__ import annotations

import io
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError
from bench.metrics.quantity import Family
from bench.models.devices import FLOAT32, is_cpu, precision_of
from bench.scoring.scorecard import CHALLENGE_METRIC, Measure, Presentation
from bench.store.fields import plain
from bench.store.records import Measured, RunRecord

from . import words
from .entries import Entry

if TYPE_CHECKING:
    from bench.tasks.task import Task

PARTS = ("chunks", "timed")  # of a record, that other programs need in another form or not at all
TIMED = ("trial", "trials", "seconds", "retraining", "busy", "peak_memory")
REMEMBERED = 12  # people that a run's page shows


@dataclass(frozen=True)
class Number:
    """A measure with what its metric says of it."""

    name: str
    about: Presentation
    measure: Measure


@dataclass(frozen=True)
class Part:
    """A section of the scorecard."""

    title: str
    introduction: str
    numbers: Sequence[Number]
    problems: Mapping[str, str]
    notes: Sequence[str]  # how the numbers came about, or why there is none

    @property
    def controls(self) -> Sequence[str]:
        """Splits of people whom nobody asked to forget, on which some of the numbers were computed, too."""
        return list(dict.fromkeys(split for each in self.numbers for split in each.measure.controls))


@dataclass(frozen=True)
class Person:
    """Somebody who was to be forgotten."""

    identity: int
    photos: int
    epsilon: float  # mean over the photos that have one
    picture: str  # "": the task's licence does not allow to show them, or the task is not installed


def data(entry: Entry) -> dict[str, Any]:
    """A run as other programs, and the charts of its page, read it: record, environment, measures and details."""
    item, card = entry.row, entry.row.scorecard
    about = json.loads(entry.fragment)
    return {
        "schema": 2,
        "slug": entry.slug,
        "label": item.label,
        **{key: about[key] for key in ("run", "provenance", "badges", "failure", "scorecard")},
        "record": {field: plain(getattr(item.record, field)) for field in RunRecord.__struct_fields__ if field not in PARTS},
        "solo": [_known(each) for each in item.record.alone],
        "phases": item.record.phases,
        "quantities": {key: plain(about) for section in card.sections.values() for key, about in section.quantities.items()}
        if card
        else {},
        "details": dict(card.details) if card else {},
    }


def _known(timed: Measured) -> dict[str, Any]:
    """What is known of a timed trial; 0 bytes are nobody's."""
    found = {key: plain(getattr(timed, key, None)) for key in TIMED}
    return {key: value for key, value in found.items() if value is not None and (value or key != "peak_memory")}


def reproduce(record: RunRecord) -> str:
    """The command that makes the row again."""
    if record.self_reported:
        named = {"--name": record.method.name, "--task": record.task.name, "--budget": record.budget}
        return " ".join(["bench score-outputs FILES", *(f"{name} {shlex.quote(value)}" for name, value in named.items())])
    kind = record.device.kind
    options = {
        "--plugin": record.method.spec,
        "--task": record.task.name,
        "--models": record.models,
        "--budget": record.budget,
        "--seed": record.seed,
        "--device": "cpu" if is_cpu(kind) else "cuda",
        **({} if precision_of(kind) == FLOAT32 else {"--precision": precision_of(kind)}),
    }
    return " ".join(["bench run", *(f"{name} {shlex.quote(str(value))}" for name, value in options.items())])


def parts(entry: Entry) -> list[Part]:
    """The scorecard in sections."""
    card = entry.row.scorecard
    if card is None:
        return []
    groups = entry.row.record.task.groups
    numbers: dict[Family, list[Number]] = {family: [] for family in words.FAMILIES}
    problems: dict[Family, dict[str, str]] = {family: {} for family in words.FAMILIES}
    notes: dict[Family, list[str]] = {family: [] for family in words.FAMILIES}
    for metric, section in card.sections.items():
        for name, measure in section.measures.items():
            about = section.presentation(name)
            numbers[about.family].append(Number(_in_words(name, groups), about, measure))
        first: Family = next((about.family for about in section.quantities.values()), "other")
        if section.problem:
            problems[first][metric] = section.problem
        notes[first] += [f"{metric}: {note}" for note in section.notes]
    return [
        Part(*told, numbers[family], problems[family], notes[family])
        for family, told in words.FAMILIES.items()
        if numbers[family] or problems[family] or notes[family]
    ]


def _in_words(name: str, groups: Sequence[str]) -> str:
    """A number's name, with the age group that it is about."""
    stem, _, group = name.partition(".")
    return f"{stem} {groups[int(group)]}" if group.isdecimal() and int(group) < len(groups) else name


def epsilons(entry: Entry) -> list[tuple[float, int]]:
    """How many forget examples have an epsilon from each multiple of one half on; bins that hold none are left out."""
    bins = Counter(int(2 * value) / 2 for value in entry.row.details(CHALLENGE_METRIC).get("epsilons", ()) if value is not None)
    return sorted(bins.items())


def remembered(entry: Entry, identities: Sequence[int], pictures: Mapping[int, str]) -> list[Person]:
    """The forgotten people whose photos give the unlearned models away most, most first."""
    epsilons = np.array(entry.row.details(CHALLENGE_METRIC).get("epsilons", ()), dtype=np.float64)  # None becomes NaN
    who = np.asarray(identities)
    if epsilons.shape != who.shape or not len(who):
        return []
    people = []
    for identity in np.unique(who):
        own = epsilons[who == identity]
        if not np.isnan(own).all():
            people.append(Person(int(identity), len(own), float(np.nanmean(own)), pictures.get(int(identity), "")))
    return sorted(people, key=lambda person: -person.epsilon)[:REMEMBERED]


def portraits(task: Task, identities: Sequence[int]) -> dict[int, bytes]:
    """One forgotten photo of each identity as PNG."""
    from PIL import Image

    data = task.load()
    rows = data.splits["forget"]
    found = {}
    for identity in sorted(set(identities)):
        row = rows[np.flatnonzero(data.identities[rows] == identity)[0]]
        buffer = io.BytesIO()
        Image.fromarray(data.images[row].transpose(1, 2, 0)).save(buffer, "PNG")
        found[identity] = buffer.getvalue()
    return found


def showable_task(name: str, key: str) -> Task | None:
    """The installed task of that key, if its licence allows to show its pictures."""
    from bench.tasks.variants import load_task

    try:
        task = load_task(name)
    except BenchError:
        return None
    return task if task.key == key and task.images_public else None
