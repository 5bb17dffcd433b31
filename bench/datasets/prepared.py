"""A dataset that was prepared: its pictures as one memory-mapped array, what is on them, and what the doctor found."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray
from safetensors.numpy import load

from bench.archives import read_npz
from bench.datasets.dataset import FORGET, PARTS, PUBLISHED, TRAIN, UNSEEN, VALIDATION, Dataset
from bench.errors import BenchError
from bench.networks import recipe_for
from bench.store import DamagedFileError, Record, read_checked, read_record
from bench.tasks.forget import Choice, with_forget
from bench.tasks.task import Faces, Task

HOME = "BENCH_DATA"  # environment variable: where prepared data lie
RECORD, IMAGES, TABLE, ORIGINAL = "prepared.json", "images.npy", "table.npz", "original.safetensors"
_SPLIT_OF = {TRAIN: "retain", FORGET: "forget", VALIDATION: "validation", "test": "test", UNSEEN: "unseen"}


def home() -> Path:
    """Where prepared data lie: $BENCH_DATA, or the place that the platform has for such things."""
    return Path(os.environ.get(HOME) or platformdirs.user_data_path("unlearning-bench"))


def prepared_sizes(name: str) -> list[int]:
    """Pixels at which a dataset has been prepared; reads folder names only."""
    return sorted({int(folder.name.partition("-")[0]) for folder in _folders(name)})


def _folders(name: str) -> list[Path]:
    return [record.parent for record in (home() / name).glob(f"[0-9]*-*/{RECORD}")]


@dataclass(frozen=True)
class Prepared:
    """A folder that `bench tasks prepare` has filled."""

    folder: Path
    record: Record

    @classmethod
    def read(cls, folder: Path) -> Prepared:
        """The folder's record, checked against its checksum."""
        return cls(folder, read_record(folder / RECORD, mend="prepare it again"))

    @classmethod
    def find(cls, dataset: Dataset, size: int | None) -> Prepared:
        """What was prepared last at a size; at the dataset's own, or the only one, if none is asked for.

        Raises:
            BenchError: it was not prepared, or at several sizes.
        """
        sizes = prepared_sizes(dataset.name)
        if not sizes or (size and size not in sizes):
            at, asked = (f" at {size} pixels", f" --size {size}") if size else ("", "")
            raise BenchError(
                f"{dataset.name} is not prepared{at}: `bench tasks prepare {dataset.name} --data FOLDER{asked}` does it"
            )
        if not size and len(sizes) > 1 and dataset.size not in sizes:
            raise BenchError(f"{dataset.name} is prepared at {' and '.join(map(str, sizes))} pixels: choose one with --size")
        wanted = size or (dataset.size if dataset.size in sizes else sizes[0])
        found, damaged = [], None
        for folder in (each for each in _folders(dataset.name) if each.name.startswith(f"{wanted}-")):
            try:
                found.append(cls.read(folder))
            except DamagedFileError as problem:
                damaged = problem
        if damaged and not found:
            raise damaged
        return max(found, key=lambda each: str(each.record["created"]))

    @property
    def size(self) -> int:
        """Pixels of a side."""
        return int(self.record["size"])

    @cached_property
    def table(self) -> Mapping[str, NDArray[Any]]:
        """Columns [n]: label, identity, part (its number in PARTS), twin (a number that near-duplicates share, or -1)."""
        return read_npz(self._read(TABLE))

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """Pictures [n, 3, size, size], on disk.

        Raises:
            DamagedFileError: they are not what was prepared.
        """
        path = self.folder / IMAGES
        try:
            if stamp(path) != self.record["stamp"]:  # copied or touched: look at all of it, once per command
                self.check()
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as problem:
            raise DamagedFileError(path, str(problem), mend="prepare it again") from problem
        count = len(self.table["label"])
        if found.dtype != np.uint8 or found.shape != (count, 3, self.size, self.size):
            raise DamagedFileError(path, "it holds something else", mend="prepare it again")
        return found  # type: ignore[no-any-return]

    def check(self) -> None:
        """Read all pictures and compare them with their checksum.

        Raises:
            DamagedFileError: they are not what was prepared.
        """
        digest = hashlib.sha256()
        path = self.folder / IMAGES
        try:
            with path.open("rb") as file:
                while block := file.read(2**22):
                    digest.update(block)
        except OSError as problem:
            raise DamagedFileError(path, str(problem), mend="prepare it again") from problem
        if digest.hexdigest() != self.record["files"][IMAGES]:
            raise DamagedFileError(path, "its checksum is another", mend="prepare it again")

    @cached_property
    def faces(self) -> Faces:
        """The pictures with the parts that the dataset gives them; all training pictures that are not FORGET are retained."""
        part = self.table["part"]
        splits = {split: np.flatnonzero(part == PARTS.index(name)) for name, split in _SPLIT_OF.items()}
        return Faces(
            images=self.images,
            labels=self.table["label"].astype(np.int64),
            identities=self.table["identity"].astype(np.int64),
            splits={**splits, "forget_people": np.zeros(0, np.int64)},
            images_digest=self.record["files"][IMAGES],
            twins=self.table["twin"].astype(np.int64),
        )

    def original(self) -> dict[str, NDArray[np.float32]]:
        """Weights of the original model that came with the data; empty if none did."""
        return load(self._read(ORIGINAL)) if ORIGINAL in self.record["files"] else {}

    def _read(self, name: str) -> bytes:
        return read_checked(self.folder / name, self.record["files"].get(name, ""))


def stamp(path: Path) -> list[int]:
    """What changes when somebody writes to a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def task_of(dataset: Dataset, size: int | None = None) -> Task:
    """The task that a prepared dataset makes, with its own forget set.

    Raises:
        BenchError: it is not prepared.
    """
    prepared = Prepared.find(dataset, size)
    wanted = str(prepared.record["forget"])
    faces = prepared.faces if wanted == PUBLISHED else with_forget(prepared.faces, Choice.parse(wanted), _no_scores)
    recipe = dataset.recipe or recipe_for(dataset.network)
    return Task(
        name=dataset.name,
        groups=tuple(prepared.record["groups"]),
        network=dataset.network,
        recipe=replace(recipe, class_weights=tuple(prepared.record["class_weights"])),
        forget_set=wanted,
        digest=faces.digest(),
        load=lambda: faces,
        remarks=_remarks(prepared.record),
        original=(prepared.original() or None) if prepared.size == dataset.size else None,  # it saw pictures of that size
        size=prepared.size,
    )


def _no_scores() -> NDArray[np.float64]:
    raise BenchError("a dataset's own forget set cannot depend on what models have memorised")


def _remarks(record: Record) -> tuple[str, ...]:
    rejected = int(record["rejected"])
    return (f"{rejected} of {record['listed']} photos could not be used",) if rejected else ()
