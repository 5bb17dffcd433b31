"""A publisher's files on the user's disk: how they are laid out, what is on each, and which split it belongs to.

A dataset becomes a task once `bench tasks prepare NAME --data FOLDER` has read it. Nothing is ever written into that folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.seeds import numpy_generator
from bench.tasks.task import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

PUBLISHED = "published"  # a forget set: the photos whose part is FORGET
TRAIN, FORGET, VALIDATION, TEST, UNSEEN = "train", "forget", "validation", "test", "unseen"
PARTS = (TRAIN, FORGET, VALIDATION, TEST, UNSEEN)
UNSEEN_SHARE, HELD_OUT_SHARE = 0.15, 0.2  # of the people; of the known people's photos, half validation and half test


class Photo(NamedTuple):
    """One picture, as its publisher describes it."""

    name: str  # path within the folder
    label: int  # age group
    person: str  # "": not known
    part: str  # one of PARTS; FORGET: training pictures of whom the publisher wants forgotten


@dataclass(frozen=True)
class Catalogue:
    """What a folder holds, known without decoding a picture. Files that it does not speak of are counted by `prepare`."""

    photos: Sequence[Photo]
    groups: tuple[str, ...]  # what the labels mean, in words
    rejected: Sequence[tuple[str, str]] = ()  # name, reason: photos that cannot be used
    forget: str = ""  # the forget set, if it depends on what the folder holds; "": the dataset's own
    class_weights: tuple[float, ...] = ()  # [K], if the publisher gives them
    original: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)  # weights, if the publisher has trained a model
    aside: Sequence[tuple[str, str]] = ()  # name, reason: what is no photo of its own, a copy of another say
    read: Sequence[str] = ()  # files beside the photos that say something of them: tables, a model
    remarks: Sequence[str] = ()  # what readers of results should know of the photos, a line each


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
