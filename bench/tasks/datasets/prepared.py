"""A dataset that was prepared: its pictures as one memory-mapped array, what is on them, and which are near-duplicates."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, field
from numpy.typing import NDArray
from safetensors.numpy import load

from bench.errors import BenchError
from bench.registry import networks
from bench.store.archives import read_npz
from bench.store.fields import MANY, Line, Name, Positive, Record, Sha256, Short, Whole
from bench.store.files import DamagedFileError, OtherVersionError, read_checked, read_record
from bench.tasks.datasets.dataset import FORGET, PARTS, PUBLISHED, TRAIN, UNSEEN, VALIDATION, Dataset
from bench.tasks.datasets.home import HOME, home
from bench.tasks.forget import Choice, with_forget
from bench.tasks.task import Task, TaskData

MEND = "prepare it again"
RECORD, IMAGES, TABLE, ORIGINAL = "prepared.json", "images.npy", "table.npz", "original.safetensors"
_SPLIT_OF = {TRAIN: "retain", FORGET: "forget", VALIDATION: "validation", "test": "test", UNSEEN: "unseen"}


def prepared_sizes(name: str) -> list[int]:
    """Pixels at which a dataset has been prepared; reads folder names only."""
    return sorted({int(folder.name.partition("-")[0]) for folder in _folders(name)})


def _folders(name: str) -> list[Path]:
    """Where a dataset has been prepared; without a home nowhere, unless BENCH_DATA names a place."""
    try:
        place = home()
    except BenchError:
        if os.environ.get(HOME):
            raise
        return []
    return [record.parent for record in (place / name).glob(f"[0-9]*-*/{RECORD}")]


class PreparedRecord(Record, frozen=True, kw_only=True):
    """`prepared.json`: what a folder held, and which files were made of it."""

    dataset: Name
    size: Positive  # pixels of a side
    created: Short
    source: Sha256  # of what the user's files were
    groups: Annotated[tuple[Line, ...], Meta(max_length=1000)]
    forget: Line
    class_weights: Annotated[tuple[Annotated[float, Meta(ge=0)], ...], Meta(max_length=1000)]  # [K], if the publisher gives them
    listed: Whole
    rejected: Whole
    reasons: Annotated[dict[Line, Whole], Meta(max_length=MANY)]  # why photos were rejected, and how many each
    examples: Annotated[tuple[tuple[Line, Line], ...], Meta(max_length=1000)]  # some of them: name, reason
    aside: Annotated[dict[Line, Whole], Meta(max_length=MANY)] = field(default_factory=dict)  # why files are no photos
    remarks: Annotated[tuple[Line, ...], Meta(max_length=1000)] = ()
    files: Annotated[dict[Short, Sha256], Meta(max_length=10)]
    stamp: tuple[int, int] = (0, 0)  # of the file of images when it was written


@dataclass(frozen=True)
class Prepared:
    """A folder that `bench tasks prepare` has filled."""

    folder: Path
    record: PreparedRecord

    @classmethod
    def read(cls, folder: Path) -> Prepared:
        """The folder's record, checked against its checksum."""
        return cls(folder, read_record(folder / RECORD, PreparedRecord, mend=MEND))

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
        found, unusable = [], None
        for folder in (each for each in _folders(dataset.name) if each.name.startswith(f"{wanted}-")):
            try:
                found.append(cls.read(folder))
            except (DamagedFileError, OtherVersionError) as problem:
                unusable = problem
        if unusable and not found:
            raise unusable
        return max(found, key=lambda each: each.record.created)

    @property
    def size(self) -> int:
        """Pixels of a side."""
        return self.record.size

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
        path = self._regular(IMAGES)
        try:
            if stamp(path) != self.record.stamp:  # copied or touched: look at all of it, once per command
                self.check()
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as problem:
            raise DamagedFileError(path, str(problem), mend=MEND) from problem
        count = len(self.table["label"])
        if found.dtype != np.uint8 or found.shape != (count, 3, self.size, self.size):
            raise DamagedFileError(path, "it holds something else", mend=MEND)
        return found  # type: ignore[no-any-return]

    def check(self) -> None:
        """Read all pictures and compare them with their checksum.

        Raises:
            DamagedFileError: they are not what was prepared.
        """
        digest = hashlib.sha256()
        path = self._regular(IMAGES)
        try:
            with path.open("rb") as file:
                while block := file.read(2**22):
                    digest.update(block)
        except OSError as problem:
            raise DamagedFileError(path, str(problem), mend=MEND) from problem
        if digest.hexdigest() != self.record.files.get(IMAGES, ""):
            raise DamagedFileError(path, "its checksum is another", mend=MEND)

    @cached_property
    def data(self) -> TaskData:
        """The pictures with the parts that the dataset gives them; all training pictures that are not FORGET are retained."""
        part = self.table["part"]
        splits = {split: np.flatnonzero(part == PARTS.index(name)) for name, split in _SPLIT_OF.items()}
        return TaskData(
            images=self.images,
            labels=self.table["label"].astype(np.int64),
            identities=self.table["identity"].astype(np.int64),
            splits={**splits, "forget_people": np.zeros(0, np.int64)},
            images_digest=self.record.files.get(IMAGES, ""),
            twins=self.table["twin"].astype(np.int64),
        )

    def original(self) -> dict[str, NDArray[np.float32]]:
        """Weights of the original model that came with the data; empty if none did."""
        return load(self._read(ORIGINAL)) if ORIGINAL in self.record.files else {}

    def _regular(self, name: str) -> Path:
        """A file that is no link, pipe or device, on which reading could wait for ever."""
        path = self.folder / name
        if path.is_symlink() or not path.is_file():
            raise DamagedFileError(path, "it is missing, or no regular file", mend=MEND)
        return path

    def _read(self, name: str) -> bytes:
        return read_checked(self.folder / name, self.record.files.get(name, ""))


def stamp(path: Path) -> tuple[int, int]:
    """What changes when somebody writes to a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def task_of(dataset: Dataset, size: int | None = None) -> Task:
    """The task that a prepared dataset makes, with its own forget set.

    Raises:
        BenchError: it is not prepared.
    """
    prepared = Prepared.find(dataset, size)
    wanted = prepared.record.forget
    data = prepared.data if wanted == PUBLISHED else with_forget(prepared.data, Choice.parse(wanted), _no_scores)
    network = networks.find(dataset.network)
    return Task(
        name=dataset.name,
        groups=prepared.record.groups,
        network=network.name,
        own_network=network.own,
        recipe=replace(dataset.recipe or network.recipe, class_weights=prepared.record.class_weights),
        forget_set=wanted,
        digest=data.digest(),
        load=lambda: data,
        remarks=_remarks(prepared.record),
        original=(prepared.original() or None) if prepared.size == dataset.size else None,  # it saw pictures of that size
        size=prepared.size,
    )


def _no_scores() -> NDArray[np.float64]:
    raise BenchError("a dataset's own forget set cannot depend on what models have memorised")


def _remarks(record: PreparedRecord) -> tuple[str, ...]:
    lost = (f"{record.rejected} of {record.listed} photos could not be used",) if record.rejected else ()
    return (*lost, *record.remarks)
