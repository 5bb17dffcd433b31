"""FairFace: 97,698 faces in nine ranges of age, nobody known by name; needs your copy of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import TRAIN, VALIDATION, Catalogue, Dataset, half_tested
from bench.tasks.datasets.files import look_for
from bench.tasks.datasets.rows import Rows
from bench.tasks.datasets.tables import read_table

RANGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
TABLES = {"fairface_label_train.csv": TRAIN, "fairface_label_val.csv": VALIDATION}
SPLITS = ("train", "val")


@dataclass(frozen=True)
class FairFace(Dataset):
    """Two tables with columns `file` and `age`, beside the folders `train` and `val` or beside one that has both."""

    def scan(self, folder: Path) -> Catalogue:
        """The publisher's training set is for training; a half of its validation set is kept for testing."""
        look_for(folder, self.title, *TABLES)
        rows, images = Rows(folder), _images(folder)
        for table, part in TABLES.items():
            for line in read_table(folder / table, "file", "age"):
                rows.add(line["file"], _label(line["age"]), part=part, within=images)
        return Catalogue(half_tested(rows.photos), RANGES, rows.rejected, aside=rows.aside, read=tuple(TABLES))


def _label(age: str) -> int | str:
    return RANGES.index(age) if age in RANGES else f"age {age!r} is none of the ranges"


def _images(folder: Path) -> str:
    """Where `train` and `val` lie: beside the tables, or in the folder that the archive of images was extracted to."""
    if all((folder / split).is_dir() for split in SPLITS):
        return ""
    extracted = sorted(path.parent.name for path in folder.glob(f"*/{SPLITS[0]}") if (path.parent / SPLITS[1]).is_dir())
    return extracted[0] if extracted else ""  # of two, the first: `fairface-img-margin025-trainval` has the smaller margin


FAIRFACE = FairFace(
    name="age-fairface",
    title="FairFace",
    licence="CC BY 4.0",
    citation="Kärkkäinen and Joo 2021, FairFace: face attribute dataset for balanced race, gender, and age, WACV",
    obtain="https://github.com/joojs/fairface: the images (padding 0.25) and both tables of labels",
)


@hookimpl
def register_tasks(register: Callable[[Dataset], None]) -> None:
    """Register FairFace."""
    register(FAIRFACE)
