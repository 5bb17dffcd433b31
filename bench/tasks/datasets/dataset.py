"""A publisher's files on the user's disk: how they are laid out, what is on each, and which split it belongs to.

A dataset becomes a task once `bench tasks prepare NAME --data FOLDER` has read it. Nothing is ever written into that folder.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, one_line
from bench.seeds import numpy_generator
from bench.tasks.task import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

PUBLISHED = "published"  # a forget set: the photos whose part is FORGET
TRAIN, FORGET, VALIDATION, TEST, UNSEEN = "train", "forget", "validation", "test", "unseen"
PARTS = (TRAIN, FORGET, VALIDATION, TEST, UNSEEN)
UNSEEN_SHARE, HELD_OUT_SHARE = 0.15, 0.2  # of the people; of the known people's photos, half validation and half test
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
OLDEST = 120  # years


class Photo(NamedTuple):
    """One picture, as its publisher describes it."""

    name: str  # path within the folder
    label: int  # age group
    person: str  # "": not known
    part: str  # one of PARTS; FORGET: training pictures of whom the publisher wants forgotten


@dataclass(frozen=True)
class Catalogue:
    """What a folder holds, known without decoding a picture."""

    photos: Sequence[Photo]
    groups: tuple[str, ...]  # what the labels mean, in words
    rejected: Sequence[tuple[str, str]] = ()  # name, reason
    forget: str = ""  # the forget set, if it depends on what the folder holds; "": the dataset's own
    class_weights: tuple[float, ...] = ()  # [K], if the publisher gives them
    original: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)  # weights, if the publisher has trained a model


@dataclass(frozen=True)
class Dataset:
    """A kind of folder that a task can be made of. Subclasses say how to read it; their module registers one instance."""

    name: str
    title: str
    licence: str
    citation: str
    obtain: str  # how to get it
    network: str = "resnet8-v1"
    recipe: Recipe | None = None  # None: the network's own
    forget: str = "random:2%"  # see `bench.tasks.forget`, or PUBLISHED
    size: int = 32  # pixels, if the user does not choose
    stretched: bool = False  # resize without regard to proportions, instead of cutting out the middle

    def scan(self, folder: Path) -> Catalogue:
        """What the folder holds.

        Raises:
            BenchError: it is laid out in another way.
        """
        raise NotImplementedError

    def download(self, folder: Path) -> None:
        """Fetch the files into a folder, where the publisher allows that.

        Raises:
            BenchError: it does not.
        """
        raise BenchError(f"{self.title} cannot be downloaded; {self.obtain}")

    def open(self, folder: Path, name: str) -> Image:
        """One picture, not yet decoded."""
        from bench.tasks.datasets.pictures import open_picture

        return open_picture(folder / name)


class Rows:
    """Collects photos whose files exist, each once, and what is wrong with those that cannot be used."""

    def __init__(self, folder: Path, *, unique_names: bool = False) -> None:
        self._unique_names = unique_names  # a file of the same name in another folder is the same photo
        self.photos: list[Photo] = []
        self.rejected: list[tuple[str, str]] = []
        self._folder = folder
        self._listed: dict[str, frozenset[str]] = {}
        self._named: set[str] = set()

    def add(self, name: str, label: int | str, person: str = "", part: str = TRAIN) -> None:
        """Note a photo whose file exists; a label that is text says why there is none."""
        identity = name.rpartition("/")[2] if self._unique_names else name
        if isinstance(label, str):
            self.rejected.append((one_line(name), one_line(label)))
        elif name.startswith("/") or ".." in name.split("/"):
            self.rejected.append((one_line(name), "the path leads out of the folder"))
        elif identity in self._named:
            self.rejected.append((one_line(name), "it is named twice"))
        elif not self._exists(name):
            self.rejected.append((one_line(name), "the file is missing"))
        else:
            self.photos.append(Photo(name, label, person, part))
            self._named.add(identity)

    def reject(self, name: str, reason: str) -> None:
        """Note a photo that cannot be used."""
        self.rejected.append((one_line(name), reason))

    def _exists(self, name: str) -> bool:
        """Whether the folder has the file; each of its folders is listed once."""
        parent, _, file = name.rpartition("/")
        if parent not in self._listed:
            place = self._folder / parent
            self._listed[parent] = frozenset(entry.name for entry in place.iterdir()) if place.is_dir() else frozenset()
        return file in self._listed[parent]


def look_for(folder: Path, dataset: str, *wanted: str) -> None:
    """Check that a folder has some entries; names with * are patterns.

    Raises:
        BenchError: saying what was looked for and what was found.
    """
    if not folder.is_dir():
        raise BenchError(f"there is no folder {folder}")
    missing = [name for name in wanted if next(folder.glob(name), None) is None]
    if missing:
        found = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
        shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "") if found else "nothing"
        raise BenchError(one_line(f"{folder} is not laid out as {dataset}: looked for {', '.join(missing[:3])}; found {shown}"))


def pictures(folder: Path) -> Iterator[Path]:
    """Every file below a folder that is called like a picture, by name; links to folders are not followed."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and not path.name.startswith("."))
    yield from sorted(path for path in found if path.is_file())


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file that has at least these columns.

    Raises:
        BenchError: it has not, or is no text.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            absent = [name for name in columns if name not in (reader.fieldnames or ())]
            if absent:
                raise BenchError(f"{path} has no column {absent[0]}; it has {', '.join(reader.fieldnames or ()) or 'none'}")
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BenchError(one_line(f"{path} cannot be read as CSV: {problem}")) from problem


def decades(oldest: int) -> tuple[str, ...]:
    """Age groups of ten years, the last one open.

    >>> decades(30)
    ('0-9', '10-19', '20-29', '30+')
    """
    return (*(f"{start}-{start + 9}" for start in range(0, oldest, 10)), f"{oldest}+")


def decade(age: str, oldest: int) -> int | str:
    """The group of an age in years among `decades(oldest)`, or what is wrong with the age.

    >>> decade("31", 80), decade("99", 80), decade("-1", 80), decade("old", 80)
    (3, 8, "age '-1' is out of range", "age 'old' is no number")
    """
    try:
        years = float(age)
    except ValueError:
        return f"age {age!r} is no number"
    return min(int(years // 10), oldest // 10) if 0 <= years <= OLDEST else f"age {age!r} is out of range"


def by_photo(count: int) -> list[str]:
    """Parts of photos of nobody in particular: 80 % train, 10 % validation, 10 % test, drawn once and for all."""
    order = numpy_generator(0, "data", 1).permutation(count)
    held_out = int(count * HELD_OUT_SHARE)
    parts = np.full(count, TRAIN, dtype=object)
    parts[order[: held_out // 2]] = VALIDATION
    parts[order[held_out // 2 : held_out]] = TEST
    return list(parts)


def by_person(people: Sequence[str]) -> list[str]:
    """Parts of photos of known people: 15 % of the people are in no split but `unseen`; of the others' photos, as `by_photo`."""
    names = sorted(set(people))
    chosen = numpy_generator(0, "data", 2).permutation(len(names))[: round(len(names) * UNSEEN_SHARE)]
    unseen = {names[index] for index in chosen}
    known = [index for index, person in enumerate(people) if person not in unseen]
    parts = [UNSEEN] * len(people)
    for index, part in zip(known, by_photo(len(known)), strict=True):
        parts[index] = part
    return parts


def with_parts(photos: Sequence[Photo], parts: Iterable[str]) -> list[Photo]:
    """The photos with these parts."""
    return [photo._replace(part=part) for photo, part in zip(photos, parts, strict=True)]


def half_tested(photos: Sequence[Photo]) -> list[Photo]:
    """The photos with one half of those for validation, drawn once and for all, moved to test."""
    held_out = [index for index, photo in enumerate(photos) if photo.part == VALIDATION]
    moved = set(numpy_generator(0, "data", 5).permutation(held_out)[: len(held_out) // 2].tolist())
    return [photo._replace(part=TEST) if index in moved else photo for index, photo in enumerate(photos)]
