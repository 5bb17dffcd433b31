"""Where randomness comes from: named streams of one root seed that never meet, and generators with one purpose each."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Stream = Literal["reference", "trial", "data", "init", "metric", "timing"]
_STREAMS: tuple[Stream, ...] = ("reference", "trial", "data", "init", "metric", "timing")


def seed_of(root: int, stream: Stream, index: int) -> int:
    """The 64-bit seed of item `index` in a stream of the root seed.

    >>> seed_of(0, "trial", 1) == seed_of(0, "reference", 1)
    False
    """
    sequence = np.random.SeedSequence([root, _STREAMS.index(stream), index])
    return int(sequence.generate_state(1, np.uint64)[0])


def purpose_seed(seed: int, purpose: str) -> int:
    """A 32-bit seed for one purpose: torch's CPU generator looks at the low 32 bits only, so all 64 are hashed into them."""
    return int(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(1)[0])


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose of one trial."""
    import torch

    return torch.Generator().manual_seed(purpose_seed(seed, purpose))


def numpy_generator(root: int, stream: Stream, index: int) -> np.random.Generator:
    """A numpy generator for item `index` in a stream of the root seed."""
    return np.random.default_rng(seed_of(root, stream, index))
