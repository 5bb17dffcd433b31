"""CASIA-SURF: the data, splits and recipe of the challenge's published evaluation; needs your copy of the data."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.errors import BenchError, one_line
from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import FORGET, PUBLISHED, TEST, TRAIN, VALIDATION, Catalogue, Dataset, Photo
from bench.tasks.datasets.files import look_for
from bench.tasks.datasets.rows import Rows
from bench.tasks.datasets.tables import OLDEST, read_text, whole

LABELS = "Age_Gender.txt"
GROUPS, FORGOTTEN = 10, 15
SHUFFLE_SEED = 43  # surf.py
_COLOUR = "real.rssdk/color"


@dataclass(frozen=True)
class CasiaSurf(Dataset):
    """`Age_Gender.txt` with lines `ID AGE GENDER`, and `WBackground/*/ID/real.rssdk/color/*.jpg`."""

    def scan(self, folder: Path) -> Catalogue:
        """Exactly as published (unlearning_evaluation, surf.py): ten age groups of equal width over [youngest, oldest + 1].

        Photos in the order of their paths are shuffled by Python's generator with seed 43; 80, 10 and 10 % of them are for
        training, validation and test, whoever is on them. The first 15 of the people in training, by identity, are forgotten.
        """
        look_for(folder, self.title, LABELS, "WBackground", f"WBackground/*/*/{_COLOUR}")
        ages = _read_ages(folder / LABELS)
        edges = np.linspace(min(ages.values()), max(ages.values()) + 1, GROUPS + 1)
        rows = Rows(folder)
        for place in _listed(folder, "WBackground/*/*"):
            for path in _listed(place, f"{_COLOUR}/*.jpg"):
                name, person = path.relative_to(folder).as_posix(), place.name
                label = int(np.digitize(ages[person], edges)) - 1 if person in ages else f"{LABELS} does not have the person"
                rows.add(name, label, person)
        groups = tuple(f"{first:.1f}-{last:.1f}" for first, last in pairwise(edges))
        photos = _split(rows.photos)
        return Catalogue(photos, groups, rows.rejected, class_weights=_class_weights(photos), aside=rows.aside, read=(LABELS,))


def _listed(folder: Path, pattern: str) -> list[Path]:
    """As sorted(glob.glob(...)) lists: by the text of the whole path, without names that begin with a dot."""
    found = (path for path in folder.glob(pattern) if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(found, key=str)


def _read_ages(path: Path) -> dict[str, int]:
    ages: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        words = line.split()
        if not words:
            continue
        age = whole(words[1]) if len(words) == 3 else None
        if age is None or not 0 <= age <= OLDEST:
            raise BenchError(one_line(f"{path}, line {number}: expected ID AGE GENDER, found {line!r}"))
        if ages.setdefault(words[0], age) != age:
            raise BenchError(one_line(f"{path}, line {number}: {words[0]} is {age} years old here, and {ages[words[0]]} before"))
    if not ages:
        raise BenchError(f"{path} names nobody")
    return ages


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise BenchError(one_line(f"{path} cannot be read: {problem}")) from problem


def _split(photos: list[Photo]) -> list[Photo]:
    shuffled = list(photos)
    random.Random(SHUFFLE_SEED).shuffle(shuffled)  # noqa: S311 - the published order
    trained, validated = int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
    parts = [TRAIN] * trained + [VALIDATION] * (validated - trained) + [TEST] * (len(shuffled) - validated)
    forgotten = set(sorted({photo.person for photo in shuffled[:trained]})[:FORGOTTEN])
    return [
        photo._replace(part=FORGET if part == TRAIN and photo.person in forgotten else part)
        for photo, part in zip(shuffled, parts, strict=True)
    ]


def _class_weights(photos: list[Photo]) -> tuple[float, ...]:
    """Inverse counts over the whole training set, as published, but each at its own group: 0 for a group without photos.

    The published code lists the groups that occur by their youngest age, so that one without photos shifts all that follow.
    """
    counts = np.bincount([photo.label for photo in photos if photo.part in (TRAIN, FORGET)], minlength=GROUPS)
    return tuple(1 / count if count else 0.0 for count in counts.tolist())


CASIA_SURF = CasiaSurf(
    name="age-casia-surf",
    title="CASIA-SURF",
    licence="for non-commercial research only, after a signed agreement; must not be passed on",
    citation="Zhang et al. 2019, A dataset and benchmark for large-scale multi-modal face anti-spoofing, CVPR",
    obtain="https://sites.google.com/qq.com/face-anti-spoofing: by request",
    network="resnet18-challenge-v1",
    forget=PUBLISHED,
    stretched=True,  # surf.py resizes to a square
)


@hookimpl
def register_tasks(register: Callable[[Dataset], None]) -> None:
    """Register CASIA-SURF."""
    register(CASIA_SURF)
