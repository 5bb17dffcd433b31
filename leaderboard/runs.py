"""What the pages of single runs and of methods show."""

from __future__ import annotations

import io
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import registry
from bench.errors import BenchError, in_reading_order
from bench.ranking import METRIC
from bench.scorecard import Measure
from bench.store import Record

from . import text, words
from .collection import VERIFIED, Entry
from .tables import Line

if TYPE_CHECKING:
    from bench.tasks.task import Task

    from .site import Division

OWN = "unlearning-bench"
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
    picture: str  # "": the task's licence does not allow to show faces, or the task is not installed


@dataclass(frozen=True)
class MethodPage:
    """A method of one package, over all divisions and versions."""

    name: str
    page: str
    example: Record  # the record of its newest run with default hyper-parameters, if there is one
    self_reported: bool  # nobody but its author ran it
    lines: Sequence[tuple[Any, Line]] = field(default_factory=list)  # division, line

    @property
    def made_of(self) -> list[Any]:
        """What its page shows."""
        return [[division.slug, line.entry.stamp, line.place.interval, line.entry.slug] for division, line in self.lines]

    @property
    def address(self) -> str:
        """The first paper or page that its docstring names."""
        return text.first_address(self.example.get("documentation", ""))

    @property
    def install(self) -> str:
        """The command that installs it; "" for what comes with bench or from a file."""
        package, version = self.example.get("distribution", ""), self.example.get("version", "")
        return f"pip install {shlex.quote(f'{package}=={version}')}" if package not in ("", OWN) else ""


def methods(found: Sequence[Division]) -> list[MethodPage]:
    """Every method on the board."""
    grouped: dict[tuple[str, str], list[tuple[Division, Line]]] = {}
    for division in found:
        for line in division.lines:
            grouped.setdefault(_identity(line.entry.row.record), []).append((division, line))
    return [_method(key, members) for key, members in grouped.items()]


def method_page(record: Record) -> str:
    """The page of a run's method."""
    name, package = _identity(record)
    return f"method-{text.slug(name, f'{name} {package}')}.html"


def _identity(record: Record) -> tuple[str, str]:
    return record["method"]["name"], record["method"].get("distribution", "")


def _method(key: tuple[str, str], members: list[tuple[Division, Line]]) -> MethodPage:
    verified = [line for _, line in members if line.entry.provenance == VERIFIED]  # a stranger's date and words count for less
    told = [line.entry.row.record for line in verified or (line for _, line in members)]
    newest = sorted(told, key=lambda record: record.get("created", ""), reverse=True)
    plain = [record for record in newest if "[" not in record["method"]["spec"]] or newest
    name = in_reading_order(key[0])
    return MethodPage(name, method_page(plain[0]), plain[0]["method"], self_reported=not verified, lines=members)


def data(entry: Entry) -> Record:
    """A run as other programs, and the charts of its page, read it: record, environment, measures and details."""
    item, card = entry.row, entry.row.scorecard
    about = json.loads(entry.fragment)
    return {
        "schema": 1,
        "slug": entry.slug,
        "label": item.label,
        **{key: about[key] for key in ("run", "provenance", "badges", "failure", "scorecard")},
        "record": {key: value for key, value in item.record.items() if key not in ("chunks", "solo")},
        "solo": [{key: each[key] for key in TIMED if key in each} for each in item.record["solo"]],
        "phases": phases(item.record),
        "details": dict(card.details) if card else {},
    }


def phases(record: Record) -> dict[str, float]:
    """Seconds of all workers in each phase, over all trials."""
    total: dict[str, float] = {}
    for part in [*record["chunks"], *record["solo"]]:
        for name, seconds in part.get("phases", {}).items():
            total[name] = total.get(name, 0.0) + seconds
    return total


def reproduce(record: Record) -> str:
    """The command that makes the row again."""
    options = {
        "--plugin": record["method"]["spec"],
        "--task": record["task"]["name"],
        "--models": record["models"],
        "--budget": record["budget"],
        "--seed": record["seed"],
        "--device": "cpu" if record["device"]["kind"] == "cpu" else "cuda",
    }
    return " ".join(["bench run", *(f"{name} {shlex.quote(str(value))}" for name, value in options.items())])


def parts(entry: Entry) -> list[Part]:
    """The scorecard in sections."""
    card = entry.row.scorecard
    if card is None:
        return []
    meanings, groups = _meanings(), entry.row.record["task"].get("groups", [])
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
    from bench.scoring import installed_metrics

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

    faces = task.load()
    rows = faces.splits["forget"]
    found = {}
    for identity in sorted(set(identities)):
        row = rows[np.flatnonzero(faces.identities[rows] == identity)[0]]
        buffer = io.BytesIO()
        Image.fromarray(faces.images[row].transpose(1, 2, 0)).save(buffer, "PNG")
        found[identity] = buffer.getvalue()
    return found


def showable_task(name: str, key: str) -> Task | None:
    """The installed task of that key, if its licence allows to show its faces."""
    try:
        task = registry.load_task(name)
    except BenchError:
        return None
    return task if task.key == key and task.shows_faces else None
