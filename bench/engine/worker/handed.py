"""What a method's process has of a task, and what it has in its place while it is rehearsed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.outputs import Arrays
from bench.tasks.task import METHOD_SPLITS, TaskData

Pictures = tuple[NDArray[np.uint8], NDArray[np.int64]]  # and their labels


@dataclass(frozen=True)
class Handed:
    """What a method's process has of a task: the splits that it may see, and the original model. Without, it only describes."""

    pictures: Mapping[str, Pictures] = field(default_factory=dict)  # by split
    identities: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    original: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)  # weights [1, ...]; none: they are drawn anew

    @classmethod
    def of(cls, data: TaskData, original: Arrays) -> Handed:
        """Of a task."""
        pictures = {name: data.split(name) for name in METHOD_SPLITS}
        people = {name: data.identities[data.splits[name]] for name in METHOD_SPLITS}
        return cls(pictures, people, {name: array[0:1] for name, array in original.items()})

    def decoy(self) -> Handed:
        """What looks the same and says nothing: noise for pictures, labels and people in an order that nobody can know."""
        draws = np.random.default_rng(secrets.randbits(128))
        pictures = {
            name: (draws.integers(256, size=images.shape, dtype=np.uint8), draws.permutation(labels))
            for name, (images, labels) in self.pictures.items()
        }
        return Handed(pictures, {name: draws.permutation(people) for name, people in self.identities.items()})
