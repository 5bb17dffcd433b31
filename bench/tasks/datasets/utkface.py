"""UTKFace: 23,708 faces of ages 0 to 116, nobody known by name; needs your copy of the data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import Catalogue, Dataset, Rows, by_photo, decade, decades, look_for, pictures, with_parts

OLDEST_GROUP = 80
_NAME = re.compile(r"(\d{1,3})_[01]_[0-4]_\d+(\.jpg\.chip)?\.[a-z]+", re.IGNORECASE)


@dataclass(frozen=True)
class UTKFace(Dataset):
    """Files called `AGE_GENDER_RACE_DATE.jpg` or `.jpg.chip.jpg`, in any number of folders."""

    def scan(self, folder: Path) -> Catalogue:
        """Names that are not of that form, of which the published data have a few, are counted and left out."""
        look_for(folder, self.title, "**/*_*_*_*.*")
        rows = Rows(folder, unique_names=True)  # archives exist that hold everything twice
        for path in pictures(folder):
            name = path.relative_to(folder).as_posix()
            match = _NAME.fullmatch(path.name)
            rows.add(name, decade(match[1], OLDEST_GROUP) if match else "the name is not AGE_GENDER_RACE_DATE")
        return Catalogue(with_parts(rows.photos, by_photo(len(rows.photos))), decades(OLDEST_GROUP), rows.rejected)


UTKFACE = UTKFace(
    name="age-utkface",
    title="UTKFace",
    licence="for non-commercial research only; the photos belong to their owners and must not be passed on",
    citation="Zhang, Song and Qi 2017, Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR",
    obtain="https://susanqq.github.io/UTKFace/: the aligned and cropped faces",
)


@hookimpl
def register_tasks(register: Callable[[Dataset], None]) -> None:
    """Register UTKFace."""
    register(UTKFACE)
