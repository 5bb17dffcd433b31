"""AgeDB: 16,488 photos of 568 well-known people at several ages; needs your copy of the data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import Catalogue, Dataset, Rows, by_person, decade, decades, look_for, pictures, with_parts

OLDEST_GROUP = 80
_NAME = re.compile(r"\d+_(.+)_(\d{1,3})_[mf]\.[a-z]+", re.IGNORECASE)


@dataclass(frozen=True)
class AgeDB(Dataset):
    """Files called `NUMBER_NAME_AGE_GENDER.jpg`, in any number of folders."""

    def scan(self, folder: Path) -> Catalogue:
        """15 % of the people are unseen; of everybody else's photos, 80 % are for training."""
        look_for(folder, self.title, "**/*_*_*_*.*")
        rows = Rows(folder, unique_names=True)  # archives exist that hold everything twice
        for path in pictures(folder):
            name = path.relative_to(folder).as_posix()
            match = _NAME.fullmatch(path.name)
            if match:
                rows.add(name, decade(match[2], OLDEST_GROUP), match[1])
            else:
                rows.reject(name, "the name is not NUMBER_NAME_AGE_GENDER")
        parts = by_person([photo.person for photo in rows.photos])
        return Catalogue(with_parts(rows.photos, parts), decades(OLDEST_GROUP), rows.rejected)


AGEDB = AgeDB(
    name="age-agedb",
    title="AgeDB",
    licence="for non-commercial research only, after a request to its authors; must not be passed on",
    citation="Moschoglou et al. 2017, AgeDB: the first manually collected, in-the-wild age database, CVPR Workshops",
    obtain="https://ibug.doc.ic.ac.uk/resources/agedb/: by request",
    forget="identities:5%",
)


@hookimpl
def register_tasks(register: Callable[[Dataset], None]) -> None:
    """Register AgeDB."""
    register(AGEDB)
