"""UTKFace: 23,708 faces of ages 0 to 116, nobody known by name; needs your copy of the data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import Catalogue, Dataset, by_photo, with_parts
from bench.tasks.datasets.files import look_for, other_layout
from bench.tasks.datasets.rows import Rows
from bench.tasks.datasets.tables import decade, decades

OLDEST_GROUP = 80
_FORM = "AGE_GENDER_RACE_DATE"
_NAME = re.compile(r"([0-9]+)_.*", re.DOTALL)  # of a few published names the rest is not as it should be


@dataclass(frozen=True)
class UTKFace(Dataset):
    """Files called `AGE_GENDER_RACE_DATE.jpg` or `.jpg.chip.jpg`, in any number of folders."""

    def scan(self, folder: Path) -> Catalogue:
        """The age is what stands before the first underscore; all else of a name says nothing that is needed here."""
        look_for(folder, self.title)
        rows = Rows(folder, unique_names=True)  # archives exist that hold everything twice
        for name, match in rows.named(_NAME, _FORM):
            rows.add(name, decade(match[1], OLDEST_GROUP))
        if not rows.photos and not rows.rejected:
            raise other_layout(folder, self.title, [_FORM])
        return Catalogue(
            with_parts(rows.photos, by_photo(len(rows.photos))), decades(OLDEST_GROUP), rows.rejected, aside=rows.aside
        )


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
