"""CIFAR-10: the setting of the challenge's starting kit, things instead of faces; needs the data, or `--download`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.store.files import LARGEST_FILE, read_bytes
from bench.tasks.datasets.dataset import TRAIN, VALIDATION, Catalogue, Dataset, Photo, half_tested
from bench.tasks.datasets.files import files, is_called_a_picture, look_for, other_layout
from bench.tasks.datasets.rows import Rows

if TYPE_CHECKING:
    from PIL.Image import Image
    from torchvision.datasets import CIFAR10

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PYTHON, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
TRAINING, TESTING = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"
FOLDERS = "train"
_PICTURE = re.compile(rf"({FOLDERS}|test)/({'|'.join(CLASSES)})/[^/]+")
_SIDE = 32
_PIXELS = 3 * _SIDE**2


@dataclass(frozen=True)
class Cifar10(Dataset):
    """The publisher's version for C, or for Python, or pictures in folders `train/airplane`, ..., `test/truck`.

    torchvision reads the version for Python, once every file has its known checksum.
    """

    def scan(self, folder: Path) -> Catalogue:
        """The training set is for training; half of the test set is for validation, as in the starting kit."""
        found = next((read(folder) for version, read in _VERSIONS.items() if (folder / version).is_dir()), None)
        if found is None:
            look_for(folder, self.title)
            raise other_layout(folder, self.title, list(_VERSIONS))
        if max((photo.label for photo in found.photos), default=0) >= len(CLASSES):
            raise BenchError(f"{folder} has labels beyond {len(CLASSES) - 1}: it is not {self.title}")
        return replace(found, photos=half_tested(found.photos))

    def open(self, folder: Path, name: str) -> Image:
        """One picture of a batch, or a file."""
        from PIL import Image

        version, batch, row = name.split("/")
        if version == PYTHON:
            return Image.fromarray(_published(folder, train=batch == TRAIN).data[int(row)])
        if version != BINARY:
            return super().open(folder, name)
        pixels = _binary(folder / BINARY / batch)[int(row), 1:].reshape(3, _SIDE, _SIDE)
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))

    def download(self, folder: Path) -> None:
        """Have torchvision fetch the version for Python.

        Raises:
            BenchError: it cannot be had from here.
        """
        from torchvision.datasets import CIFAR10

        try:
            CIFAR10(folder, download=True)
        except (OSError, RuntimeError) as problem:
            raise BenchError(f"{self.title} cannot be downloaded ({problem}); put {PYTHON} into {folder} by hand") from problem


def _python(folder: Path) -> Catalogue:
    photos = [
        Photo(f"{PYTHON}/{part}/{row}", int(label), "", part)
        for part in (TRAIN, VALIDATION)
        for row, label in enumerate(_published(folder, train=part == TRAIN).targets)
    ]
    return Catalogue(photos, CLASSES, read=[name for name in files(folder) if name.startswith(f"{PYTHON}/")])


def _batches(folder: Path) -> Catalogue:
    look_for(folder, CIFAR10_DATASET.title, *(f"{BINARY}/{name}" for name in (*TRAINING, TESTING)))
    photos = [
        Photo(f"{BINARY}/{name}/{row}", int(label), "", VALIDATION if name == TESTING else TRAIN)
        for name in (*TRAINING, TESTING)
        for row, label in enumerate(_binary(folder / BINARY / name)[:, 0])
    ]
    return Catalogue(photos, CLASSES)


def _pictures(folder: Path) -> Catalogue:
    """In the order of their names; what lies elsewhere is left to be counted."""
    rows = Rows(folder)
    for name in files(folder):
        match = _PICTURE.fullmatch(name)
        if match and is_called_a_picture(name):
            rows.add(name, CLASSES.index(match[2]), part=TRAIN if match[1] == FOLDERS else VALIDATION)
    return Catalogue(rows.photos, CLASSES, rows.rejected, aside=rows.aside)


_VERSIONS: Mapping[str, Callable[[Path], Catalogue]] = {
    PYTHON: _python,
    BINARY: _batches,
    f"{FOLDERS}/{CLASSES[0]}": _pictures,
}


@cache
def _published(folder: Path, *, train: bool) -> CIFAR10:
    from torchvision.datasets import CIFAR10

    try:
        return CIFAR10(folder, train=train, download=False)
    except (OSError, RuntimeError) as problem:
        raise BenchError(f"{folder / PYTHON} is not what was published: fetch it again with --download") from problem


@cache
def _binary(path: Path) -> NDArray[np.uint8]:
    """Rows of a label and 3072 pixels, [n, 3073]."""
    try:
        content = np.frombuffer(read_bytes(path, LARGEST_FILE, follow=True), np.uint8)
    except OSError as problem:
        raise BenchError(f"{path} cannot be read: {problem.strerror}") from problem
    if len(content) % (1 + _PIXELS):
        raise BenchError(f"{path} is not a batch of {_SIDE}x{_SIDE} pictures: its length is wrong")
    return content.reshape(-1, 1 + _PIXELS)


CIFAR10_DATASET = Cifar10(
    name="cifar10",
    title="CIFAR-10",
    licence="none stated by its authors; widely used in research",
    citation="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    obtain="https://www.cs.toronto.edu/~kriz/cifar.html, or `bench tasks prepare cifar10 --data FOLDER --download`",
    network="resnet18-v1",
    forget="random:10%",  # the starting kit forgets 5,000 of 50,000; its own choice is `--forget file:forget_idx.npy`
)


@hookimpl
def register_tasks(register: Callable[[Dataset], None]) -> None:
    """Register CIFAR-10."""
    register(CIFAR10_DATASET)
