"""Collects the photos of a folder, each once, with the reasons why others cannot be used or are none of their own."""

from __future__ import annotations

import filecmp
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from bench.errors import one_line
from bench.tasks.datasets.dataset import TRAIN, Catalogue, Photo
from bench.tasks.datasets.files import Names, UnusableNameError, composed, entries, files, is_called_a_picture, is_hidden


class Rows:
    """Collects photos whose files exist, each once."""

    def __init__(self, folder: Path, *, unique_names: bool = False) -> None:
        self._unique_names = unique_names  # a file of the same name in another folder is the same photo
        self.photos: list[Photo] = []
        self.rejected: list[tuple[str, str]] = []
        self.aside: list[tuple[str, str]] = []
        self._folder = folder
        self._names = Names(folder)
        self._known: dict[str, Photo] = {}

    def add(self, name: str, label: int | str, person: str = "", part: str = TRAIN, *, within: str = "") -> None:
        """Note a photo whose file exists; a label that is text says why there is none.

        `name` may be written as on another system (see `Names`), and is relative to `within`.
        """
        try:
            name, problem = self._names.find(name, within), ""
        except UnusableNameError as reason:
            problem = str(reason)
        if isinstance(label, str):
            self.reject(name, label)
        elif problem:
            self.reject(name, problem)
        else:
            self._take(Photo(name, label, composed(person), part))

    def named(self, pattern: re.Pattern[str], wanted: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Files whose whole name is of a pattern, whatever they end in; pictures of other names are rejected."""
        for name in files(self._folder):
            match = pattern.fullmatch(posixpath.basename(name))
            if match:
                yield name, match
            elif is_called_a_picture(name):
                self.reject(name, f"the name is not {wanted}")

    def reject(self, name: str, reason: str) -> None:
        """Note a photo that cannot be used."""
        self.rejected.append((one_line(name), one_line(reason)))

    def _take(self, photo: Photo) -> None:
        """Note a photo, unless it is known."""
        known = self._known.setdefault(posixpath.basename(photo.name) if self._unique_names else photo.name, photo)
        if known is photo:
            self.photos.append(photo)
        elif known == photo:
            self.aside.append((one_line(photo.name), "named twice"))
        elif known.name == photo.name:
            self.reject(photo.name, "it is named twice, with another age, person or split")
        elif filecmp.cmp(self._folder / known.name, self._folder / photo.name, shallow=False):
            self.aside.append((one_line(photo.name), "a copy of a photo in another folder"))
        else:
            self.reject(photo.name, "another photo has that name in another folder")


def beside(folder: Path, catalogue: Catalogue) -> list[tuple[str, str]]:
    """Names and reasons of what lies in a folder and is neither in the catalogue nor read for it, in order."""
    spoken_of = {*catalogue.read, *(name for name, _ in (*catalogue.rejected, *catalogue.aside))}
    used = {_file_of(folder, photo.name) for photo in catalogue.photos}
    found = []
    for name, problem in entries(folder):
        if one_line(name) not in spoken_of and (problem or _file_of(folder, name) not in used):
            found.append((one_line(name), problem or _why_not(name)))
    return sorted(found)


def _why_not(name: str) -> str:
    if is_hidden(name):
        return "hidden"
    return "a picture of which nothing is said" if is_called_a_picture(name) else "not a picture, by its name"


def _file_of(folder: Path, name: str) -> tuple[int, int] | None:
    """What tells a file from all others, whatever links lead to it; one file may hold many photos."""
    for path in (folder / name, (folder / name).parent):
        try:
            status = os.stat(path)
        except OSError:
            continue
        return status.st_dev, status.st_ino
    return None
