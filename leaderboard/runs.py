"""What the pages of single runs show."""

from __future__ import annotations

import io
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError
from bench.scoring.ranking import METRIC
from bench.scoring.scorecard import Measure
from bench.store.fields import plain
from bench.store.records import RunRecord, TimedTrial

from . import words
from .entries import Entry

if TYPE_CHECKING:
    from bench.tasks.task import Task

PARTS = ("chunks", "timed")  # of a record, that other programs need in another form or not at all
TIMED = ("seconds", "peak_memory", "failure")
REMEMBERED = 12  # people that a run's page shows


@dataclass(frozen=True)
class Number:
    """A measure with what its metric says of it."""

    name: str
    meaning: str
    measure: Measure


@dataclass(frozen=True)
class Part:
    """A section of the scorecard."""

    title: str
    introduction: str
    numbers: Sequence[Number]
    problems: Mapping[str, str]


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
        "schema": 1,
        "slug": entry.slug,
        "label": item.label,
        **{key: about[key] for key in ("run", "provenance", "badges", "failure", "scorecard")},
        "record": {field: plain(getattr(item.record, field)) for field in RunRecord.__struct_fields__ if field not in PARTS},
        "solo": [_known(each) for each in item.record.timed],
        "phases": item.record.phases,
        "details": dict(card.details) if card else {},
    }


def _known(timed: TimedTrial) -> dict[str, Any]:
    """What is known of a timed trial; 0 bytes are nobody's."""
    found = {key: getattr(timed, key, None) for key in TIMED}
    return {key: value for key, value in found.items() if value is not None and (value or key != "peak_memory")}


def reproduce(record: RunRecord) -> str:
    """The command that makes the row again."""
    options = {
        "--plugin": record.method.spec,
        "--task": record.task.name,
        "--models": record.models,
        "--budget": record.budget,
        "--seed": record.seed,
        "--device": "cpu" if record.device.kind == "cpu" else "cuda",
    }
    return " ".join(["bench run", *(f"{name} {shlex.quote(str(value))}" for name, value in options.items())])


def parts(entry: Entry) -> list[Part]:
    """The scorecard in sections."""
    card = entry.row.scorecard
    if card is None:
        return []
    meanings, groups = _meanings(), entry.row.record.task.groups
    found: dict[str, tuple[list[Number], dict[str, str]]] = {name: ([], {}) for name in words.SECTIONS}
    for metric, section in card.sections.items():
        numbers, problems = found[words.section_of(metric)]
        for name, measure in section.measures.items():
            stem, _, group = name.partition(".")
            named = f"{stem} {groups[int(group)]}" if group.isdecimal() and int(group) < len(groups) else name
            numbers.append(Number(named, meanings.get((metric, stem), ""), measure))
        if section.problem:
            problems[metric] = section.problem
    titles = words.SECTIONS
    return [Part(*titles[name], numbers, problems) for name, (numbers, problems) in found.items() if numbers or problems]


@cache
def _meanings() -> dict[tuple[str, str], str]:
    """What each quantity of each installed metric means."""
    from bench.metrics.installed import installed_metrics

    return {(item.name, each.name): each.meaning for item in installed_metrics()[0] for each in item.metric.quantities}


def epsilons(entry: Entry) -> list[tuple[float, int]]:
    """How many forget examples have an epsilon from each multiple of one half on; bins that hold none are left out."""
    bins = Counter(int(2 * value) / 2 for value in entry.row.detail(METRIC, "epsilons") if value is not None)
    return sorted(bins.items())


def remembered(entry: Entry, identities: Sequence[int], pictures: Mapping[int, str]) -> list[Person]:
    """The forgotten people whose photos give the unlearned models away most, most first."""
    epsilons = np.array(entry.row.detail(METRIC, "epsilons"), dtype=np.float64)  # None becomes NaN
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
