"""AgeDB: 16,488 photos of 567 well-known people at several ages; needs your copy of the data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import Catalogue, Dataset, by_person, with_parts
from bench.tasks.datasets.files import look_for, other_layout
from bench.tasks.datasets.rows import Rows
from bench.tasks.datasets.tables import decade, decades

OLDEST_GROUP = 80
_FORM = "NUMBER_NAME_AGE_GENDER"
_NAME = re.compile(r"[0-9]+_(.+)_([0-9]{1,3})_[mf][^_]*", re.IGNORECASE)  # whatever it ends in


@dataclass(frozen=True)
class AgeDB(Dataset):
    """Files called `NUMBER_NAME_AGE_GENDER.jpg`, in any number of folders."""

    def scan(self, folder: Path) -> Catalogue:
        """15 % of the people are unseen; of everybody else's photos, 80 % are for training."""
        look_for(folder, self.title)
        rows = Rows(folder, unique_names=True)  # archives exist that hold everything twice
        for name, match in rows.named(_NAME, _FORM):
            rows.add(name, decade(match[2], OLDEST_GROUP), match[1])
        if not rows.photos and not rows.rejected:
            raise other_layout(folder, self.title, [_FORM])
        parts = by_person([photo.person for photo in rows.photos])
        return Catalogue(with_parts(rows.photos, parts), decades(OLDEST_GROUP), rows.rejected, aside=rows.aside)


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
