"""What jobs name by its hash: task data, original weights, sources of plugins. A machine fetches each once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors.numpy import load, save

from bench.errors import BenchError
from bench.outputs import Arrays
from bench.store.archives import read_npz, write_npz
from bench.store.files import write_bytes
from bench.tasks.task import SPLITS, TaskData

_SPLIT = "split."


class Contents(Protocol):
    """Where a machine fetches from."""

    def data(self, digest: str) -> TaskData:
        """A task's data."""

    def weights(self, digest: str) -> Arrays:
        """Weights {name: array}."""

    def source(self, digest: str) -> bytes:
        """The source of a plugin that is a file."""


class Shelf:
    """Contents in this process; `publish` copies them to where other processes can read them."""

    def __init__(self) -> None:
        self._data: dict[str, Callable[[], TaskData]] = {}
        self._weights: dict[str, Arrays] = {}
        self._sources: dict[str, bytes] = {}

    def put_data(self, digest: str, load_data: Callable[[], TaskData]) -> str:
        """Have a task's data at hand, which are loaded when somebody asks; returns their digest."""
        self._data[digest] = load_data
        return digest

    def put_weights(self, weights: Arrays) -> str:
        """Have weights at hand; returns their hash."""
        digest = hashlib.sha256(_packed(weights)).hexdigest()
        self._weights[digest] = weights
        return digest

    def put_source(self, digest: str, source: bytes) -> str:
        """Have a plugin's source at hand; returns its hash."""
        self._sources[digest] = source
        return digest

    def data(self, digest: str) -> TaskData:
        """A task's data."""
        return self._data[digest]()

    def weights(self, digest: str) -> Arrays:
        """Weights {name: array}."""
        return self._weights[digest]

    def source(self, digest: str) -> bytes:
        """The source of a plugin that is a file."""
        return self._sources[digest]

    def publish(self, digests: tuple[str, ...], folder: Path) -> None:
        """Write what is not there yet into a folder, for `SharedFolder` to read."""
        target = SharedFolder(folder)
        for digest in digests:
            if digest in self._data and not target.data_path(digest).exists():
                _write_data(self._data[digest](), target, digest)
            elif digest in self._weights and not target.weights_path(digest).exists():
                write_bytes(target.weights_path(digest), _packed(self._weights[digest]), durable=False)
            elif digest in self._sources and not target.source_path(digest).exists():
                write_bytes(target.source_path(digest), self._sources[digest], durable=False)


class SharedFolder:
    """Contents that `Shelf.publish` wrote; pickles to the folder's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def data_path(self, digest: str) -> Path:
        """Where labels, identities and splits lie."""
        return self._folder / f"{digest}.npz"

    def images_path(self, digest: str) -> Path:
        """Where the images lie."""
        return self._folder / f"{digest}.npy"

    def weights_path(self, digest: str) -> Path:
        """Where weights lie."""
        return self._folder / f"{digest}.safetensors"

    def source_path(self, digest: str) -> Path:
        """Where a plugin's source lies."""
        return self._folder / f"{digest}.py"

    def data(self, digest: str) -> TaskData:
        """A task's data.

        Raises:
            BenchError: they are not what the digest says.
        """
        arrays = read_npz(self.data_path(digest).read_bytes())
        found = TaskData(
            images=np.load(self.images_path(digest), mmap_mode="r", allow_pickle=False),
            labels=arrays["labels"].astype(np.int64),
            identities=arrays["identities"].astype(np.int64),
            splits={name: arrays[_SPLIT + name].astype(np.int64) for name in SPLITS},
            images_digest=arrays["images_digest"].astype(np.uint8).tobytes().decode(),
        )
        if found.digest() != digest:
            raise BenchError(f"the task's data in {self._folder} are not what their name says")
        return found

    def weights(self, digest: str) -> Arrays:
        """Weights {name: array}.

        Raises:
            BenchError: they are not what the digest says.
        """
        content = self.weights_path(digest).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise BenchError(f"the weights in {self._folder} are not what their name says")
        return load(content)

    def source(self, digest: str) -> bytes:
        """The source of a plugin that is a file."""
        return self.source_path(digest).read_bytes()


def _packed(weights: Arrays) -> bytes:
    return save({name: np.ascontiguousarray(array) for name, array in weights.items()})


def _file_of(images: NDArray[np.uint8]) -> str | None:
    """The npy file that holds these images and no others, if there is one."""
    if not isinstance(images, np.memmap) or not images.filename:
        return None
    try:
        whole = npy.open_memmap(images.filename, mode="r")
    except (OSError, ValueError):
        return None
    same = (whole.shape, whole.strides, whole.dtype) == (images.shape, images.strides, images.dtype)
    return os.path.abspath(images.filename) if same else None


def _write_data(data: TaskData, target: SharedFolder, digest: str) -> None:
    images = target.images_path(digest)
    images.parent.mkdir(parents=True, exist_ok=True)
    images.unlink(missing_ok=True)  # of somebody who was killed here
    if file := _file_of(data.images):  # large ones are not copied
        images.symlink_to(file)
    else:
        np.save(images, data.images, allow_pickle=False)
    arrays: Arrays = {
        "labels": data.labels,
        "identities": data.identities,
        "images_digest": np.frombuffer(data.images_digest.encode(), np.uint8),
        **{_SPLIT + name: rows for name, rows in data.splits.items()},
    }
    write_bytes(target.data_path(digest), write_npz(arrays), durable=False)
