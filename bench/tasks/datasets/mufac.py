"""MUFAC: Korean families in eight ages, forget set as published; needs your copy of the data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import (
    FORGET,
    PUBLISHED,
    TEST,
    TRAIN,
    UNSEEN,
    VALIDATION,
    Catalogue,
    Dataset,
    Rows,
    look_for,
    read_table,
    with_parts,
)

AGES = ("0-6", "7-12", "13-19", "20-30", "31-45", "46-55", "56-66", "67-80")  # classes a to h
CLASSES = "abcdefgh"
FORGOTTEN = 1500  # the first rows of the training table (the authors' notebooks)
VARIANTS = ("custom", "fixed")
_FAMILY = re.compile(r"(F\d+)_")


@dataclass(frozen=True)
class MUFAC(Dataset):
    """Three tables `custom_train_dataset.csv`, ... (or `fixed_...`) with columns `image_path` and `age_class`.

    Pictures lie in `train_images`, ... or `fixed_train_dataset`, ..., and are called after the family: `F0001_AGE_D_18_a1.jpg`.
    """

    def scan(self, folder: Path) -> Catalogue:
        """Families are the identities. Test shows families that are in no other split, half of them are kept as `unseen`."""
        look_for(folder, self.title, "*_train_dataset.csv", "*_val_dataset.csv", "*_test_dataset.csv")
        rows = Rows(folder)
        for part, split in ((TRAIN, "train"), (VALIDATION, "val"), (TEST, "test")):
            table, images = _places(folder, split)
            for position, line in enumerate(read_table(table, "image_path", "age_class")):
                family, age = _FAMILY.match(Path(line["image_path"]).name), line["age_class"].strip()
                label = CLASSES.index(age) if len(age) == 1 and age in CLASSES else f"age class {age!r} is none of {CLASSES}"
                forgotten = part == TRAIN and position < FORGOTTEN
                rows.add(f"{images}/{line['image_path']}", label, family[1] if family else "", FORGET if forgotten else part)
        unseen = set(sorted({photo.person for photo in rows.photos if photo.part == TEST and photo.person})[1::2])
        parts = (UNSEEN if photo.part == TEST and photo.person in unseen else photo.part for photo in rows.photos)
        return Catalogue(with_parts(rows.photos, parts), AGES, rows.rejected)


def _places(folder: Path, split: str) -> tuple[Path, str]:
    """The table of a split, and the name of the folder with its pictures."""
    tables = [folder / f"{variant}_{split}_dataset.csv" for variant in VARIANTS]
    images = [name for name in (f"{split}_images", f"fixed_{split}_dataset") if (folder / name).is_dir()]
    found = [table for table in tables if table.is_file()]
    if not found or not images:
        raise BenchError(f"{folder} has no folder {split}_images or fixed_{split}_dataset beside {tables[0].name}")
    return found[0], images[0]


MUFAC_DATASET = MUFAC(
    name="age-mufac",
    title="MUFAC",
    licence="for non-commercial research only; the photos are of the AI Hub of the National Information Society Agency of Korea",
    citation="Choi and Na 2023, Towards machine unlearning benchmarks, arXiv:2311.02240",
    obtain="https://github.com/ndb796/MachineUnlearning: custom_korean_family_dataset_resolution_128",
    forget=PUBLISHED,
)


@hookimpl
def register_tasks(register: Callable[[Dataset], None]) -> None:
    """Register MUFAC."""
    register(MUFAC_DATASET)
