"""MUFAC: Korean families in eight ages, forget set as published; needs your copy of the data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

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
    with_parts,
)
from bench.tasks.datasets.files import look_for, other_layout
from bench.tasks.datasets.rows import Rows
from bench.tasks.datasets.tables import read_table

AGES = ("0-6", "7-12", "13-19", "20-30", "31-45", "46-55", "56-66", "67-80")  # classes a to h
CLASSES = "abcdefgh"
FORGOTTEN = 1500  # the first rows of the training table (the authors' notebooks)
PUBLISHER = "custom"  # the tables that the authors' notebooks read
VARIANTS = (PUBLISHER, "fixed")
SPLITS = ("train", "val", "test")
_FAMILY = re.compile(r"(F\d+)_")


@dataclass(frozen=True)
class MUFAC(Dataset):
    """Three tables `custom_train_dataset.csv`, ... (or `fixed_...`) with columns `image_path` and `age_class`.

    Pictures lie in `train_images`, ... or `fixed_train_dataset`, ..., and are called after the family: `F0001_AGE_D_18_a1.jpg`.
    """

    def scan(self, folder: Path) -> Catalogue:
        """Families are the identities. Test shows families that are in no other split, half of them are kept as `unseen`.

        A forget set was published for the tables `custom_...` only: in others, other photos are first.
        """
        look_for(folder, self.title, "*_train_dataset.csv", "*_val_dataset.csv", "*_test_dataset.csv")
        rows, variant = Rows(folder), _variant(folder)
        for part, split in ((TRAIN, "train"), (VALIDATION, "val"), (TEST, "test")):
            for position, line in enumerate(read_table(folder / _table(variant, split), "image_path", "age_class")):
                forgotten = part == TRAIN and variant == PUBLISHER and position < FORGOTTEN
                family = _FAMILY.match(PureWindowsPath(line["image_path"]).name)
                label, person = _label(line["age_class"]), family[1] if family else ""
                rows.add(line["image_path"], label, person, FORGET if forgotten else part, within=_images(folder, split))
        unseen = set(sorted({photo.person for photo in rows.photos if photo.part == TEST and photo.person})[1::2])
        parts = (UNSEEN if photo.part == TEST and photo.person in unseen else photo.part for photo in rows.photos)
        return Catalogue(
            with_parts(rows.photos, parts),
            AGES,
            rows.rejected,
            forget="" if variant == PUBLISHER else "identities:5%",
            aside=rows.aside,
            read=tuple(_table(variant, split) for split in SPLITS),
        )


def _label(age: str) -> int | str:
    return CLASSES.index(age) if len(age) == 1 and age in CLASSES else f"age class {age!r} is none of {CLASSES}"


def _table(variant: str, split: str) -> str:
    return f"{variant}_{split}_dataset.csv"


def _variant(folder: Path) -> str:
    """Of which kind there are all three tables."""
    for variant in VARIANTS:
        if all((folder / _table(variant, split)).exists() for split in SPLITS):
            return variant
    raise other_layout(folder, MUFAC_DATASET.title, [_table(PUBLISHER, split) for split in SPLITS])


def _images(folder: Path, split: str) -> str:
    """The name of the folder with a split's pictures."""
    names = (f"{split}_images", f"fixed_{split}_dataset")
    found = next((name for name in names if (folder / name).is_dir()), None)
    if not found:
        raise BenchError(f"{folder} has no folder {' or '.join(names)} beside its tables")
    return found


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
