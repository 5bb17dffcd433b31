"""Your own photos, from a table `photos.csv` with path, age and, if known, person and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError, one_line
from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import (
    FORGET,
    PARTS,
    PUBLISHED,
    Catalogue,
    Dataset,
    Photo,
    by_person,
    by_photo,
    with_parts,
)
from bench.tasks.datasets.files import is_hidden, look_for
from bench.tasks.datasets.rows import Rows
from bench.tasks.datasets.tables import decade, decades, read_table

OLDEST_GROUP = 80
NOBODY = frozenset({"nan", "NaN", "<NA>", "None", "none", "null", "NULL", "N/A", "n/a", "#N/A", "NaT"})  # as programs write it


@dataclass(frozen=True)
class PhotoFolder(Dataset):
    """One table with columns `path` (within the folder), `age` in years, and optionally `person` and `split`.

    `split` is one of train, forget, validation, test and unseen, for all photos or for none.
    """

    def scan(self, folder: Path) -> Catalogue:
        """Without splits: as AgeDB if people are known, else as UTKFace."""
        rows, table = Rows(folder), _table(folder)
        lines = read_table(table, "path", "age")
        for line in lines:
            split, path = line.get("split", "").lower(), line["path"]
            if split not in ("", *PARTS):
                rows.reject(path, f"split {split!r} is none of {', '.join(PARTS)}")
            else:
                rows.add(path, decade(line["age"], OLDEST_GROUP), _person(line), split)
        photos = _with_splits(folder, rows)
        return Catalogue(
            photos,
            decades(OLDEST_GROUP),
            rows.rejected,
            forget=_forget_set(photos),
            aside=rows.aside,
            read=(table.name,),
            remarks=_remarks(lines),
        )


def _person(line: Mapping[str, str]) -> str:
    person = line.get("person", "")
    return "" if person in NOBODY else person


def _remarks(lines: Sequence[Mapping[str, str]]) -> list[str]:
    written = Counter(line.get("person", "") for line in lines)
    return [
        f"the person of {written[word]} of {len(lines)} photos is {word!r}: taken for somebody who is not known"
        for word in sorted(NOBODY & set(written))
    ]


def _table(folder: Path) -> Path:
    look_for(folder, FOLDER.title)
    tables = sorted(path for path in folder.iterdir() if _is_table(path))
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables) or "none"
        raise BenchError(one_line(f"{folder} must have one CSV file, with columns path, age[, person, split]; found {found}"))
    return tables[0]


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and not is_hidden(path.name) and not path.is_dir()


def _forget_set(photos: Sequence[Photo]) -> str:
    if any(photo.part == FORGET for photo in photos):
        return PUBLISHED
    return "identities:5%" if any(photo.person for photo in photos) else ""


def _with_splits(folder: Path, rows: Rows) -> list[Photo]:
    given = {photo.part != "" for photo in rows.photos}
    if given == {True, False}:
        raise BenchError(f"the table in {folder} gives a split for some photos only: give it for all, or leave the column out")
    if given != {False}:
        return rows.photos
    people = [photo.person for photo in rows.photos]
    return with_parts(rows.photos, by_person(people) if all(people) else by_photo(len(people)))


FOLDER = PhotoFolder(
    name="age-folder",
    title="your own photos",
    licence="yours to know",
    citation="",
    obtain="a folder of photos with a table: path,age[,person,split]",
)


@hookimpl
def register_tasks(register: Callable[[Dataset], None]) -> None:
    """Register folders."""
    register(FOLDER)
