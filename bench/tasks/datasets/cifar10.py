"""CIFAR-10: the setting of the challenge's starting kit, things instead of faces; needs the data, or `--download`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.tasks.datasets.dataset import TRAIN, VALIDATION, Catalogue, Dataset, Photo, half_tested, look_for

if TYPE_CHECKING:
    from PIL.Image import Image
    from torchvision.datasets import CIFAR10

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PYTHON, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
TRAINING, TESTING = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"
_SIDE = 32
_PIXELS = 3 * _SIDE**2


@dataclass(frozen=True)
class Cifar10(Dataset):
    """The publisher's version for C, or for Python: torchvision reads that, once every file has its known checksum."""

    def scan(self, folder: Path) -> Catalogue:
        """The training set is for training; half of the test set is for validation, as in the starting kit."""
        python = (folder / PYTHON).is_dir()
        if not python:
            look_for(folder, f"{self.title} ({PYTHON} or {BINARY})", *(f"{BINARY}/{name}" for name in (*TRAINING, TESTING)))
        photos = [
            Photo(name, label, "", part)
            for part, held_out in ((TRAIN, False), (VALIDATION, True))
            for name, label in (
                _python_rows(folder, part, train=not held_out) if python else _binary_rows(folder, held_out=held_out)
            )
        ]
        if max(photo.label for photo in photos) >= len(CLASSES):
            raise BenchError(f"{folder} has labels beyond {len(CLASSES) - 1}: it is not {self.title}")
        return Catalogue(half_tested(photos), CLASSES)

    def open(self, folder: Path, name: str) -> Image:
        """One picture of a batch."""
        from PIL import Image

        version, batch, row = name.split("/")
        if version == PYTHON:
            return Image.fromarray(_published(folder, train=batch == TRAIN).data[int(row)])
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


def _python_rows(folder: Path, part: str, *, train: bool) -> Iterator[tuple[str, int]]:
    for row, label in enumerate(_published(folder, train=train).targets):
        yield f"{PYTHON}/{part}/{row}", int(label)


def _binary_rows(folder: Path, *, held_out: bool) -> Iterator[tuple[str, int]]:
    for name in (TESTING,) if held_out else TRAINING:
        for row, label in enumerate(_binary(folder / BINARY / name)[:, 0]):
            yield f"{BINARY}/{name}/{row}", int(label)


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
    content = np.fromfile(path, np.uint8)
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
