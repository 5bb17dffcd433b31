"""What a method is measured on: data with its splits, a network, a training recipe and a forget set."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.models.recipe import Recipe
from bench.registry.networks import OwnNetwork

__all__ = ["METHOD_SPLITS", "SPLITS", "UNKNOWN", "Recipe", "Task", "TaskData"]

METHOD_SPLITS = ("retain", "forget", "validation")  # handed to a method; everything else is held out from it
SPLITS = (*METHOD_SPLITS, "test", "forget_people", "unseen")
UNKNOWN = -1  # the identity of somebody whom nobody knows


@dataclass(frozen=True)
class TaskData:
    """Images with labels and identities, and which rows each split holds."""

    images: NDArray[np.uint8]  # [n, 3, size, size]
    labels: NDArray[np.int64]  # [n], the age group
    identities: NDArray[np.int64]  # [n]; UNKNOWN (-1) for somebody whom the task does not know
    splits: Mapping[str, NDArray[np.int64]]  # split name -> rows
    images_digest: str = ""  # SHA-256 of the file that holds the images, if somebody has checked it
    twins: NDArray[np.int64] | None = None  # [n]: a number that near-duplicates share, -1 for the others; None: nobody looked

    def split(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images and labels of one split. The conformance kit listens, to see that no method asks."""
        sys.audit("bench.task", name)
        rows = self.splits[name]
        return self.images[rows], self.labels[rows]

    def digest(self) -> str:
        """SHA-256 of images (or of their digest), labels, identities and splits, in that order."""
        digest = hashlib.sha256(self.images_digest.encode())
        images = [] if self.images_digest else [self.images]
        arrays: list[NDArray[Any]] = [*images, self.labels, self.identities, *(self.splits[name] for name in SPLITS)]
        for array in arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Task:
    """One benchmark task. Two tasks with equal `key` are the same task, whatever they are called."""

    name: str  # of a variant, with its options: `age-synthetic[forget="random:100"]`
    groups: tuple[str, ...]  # what the classes mean, in words
    network: str
    recipe: Recipe
    forget_set: str  # who is to be forgotten, in words
    digest: str  # TaskData.digest() of what `load` returns
    load: Callable[[], TaskData]
    images_public: bool = False  # whether its licence allows a public board to show images
    remarks: tuple[str, ...] = ()  # what readers of its results should know of the data
    original: Mapping[str, NDArray[np.float32]] | None = None  # weights {parameter: array}; None: trained by the recipe
    size: int = 32  # pixels of a side
    own_network: OwnNetwork | None = None  # where the network comes from, if not with bench; whoever loads the task finds it

    @property
    def key(self) -> str:
        """SHA-256 of everything that training depends on, as canonical JSON."""
        content = {
            "data": self.digest,
            "classes": len(self.groups),
            "network": self.network,
            "recipe": asdict(self.recipe),
            "precision": "float32",
        }
        if self.own_network is not None:
            content["network_source"] = self.own_network.source
        if self.original is not None:
            content["original"] = _digest_of(self.original)
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _digest_of(weights: Mapping[str, NDArray[np.float32]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name}{weights[name].shape}".encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
