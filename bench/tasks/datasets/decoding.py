"""The side of preparation that runs in processes of its own: decodes a block of pictures into a file of pixels."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from bench.lifetime import die_with_parent
from bench.tasks.datasets.dataset import Dataset


def start_worker() -> None:
    """The parent decides when its workers end, and they end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()


def decode_block(dataset: Dataset, folder: Path, names: Sequence[str], size: int, raw: Path, start: int) -> list[tuple[int, str]]:
    """Write the pictures of some names to rows from `start` on; returns rows of pictures that cannot be used, and why."""
    from bench.tasks.datasets.pictures import UnusablePictureError, fit  # and with it torch, which the parent can do without

    rejected = []
    row_bytes = 3 * size**2
    target = os.open(raw, os.O_WRONLY)
    try:
        for row, name in enumerate(names, start):
            try:
                pixels = fit(dataset.open(folder, name), size, stretched=dataset.stretched)
            except UnusablePictureError as reason:
                rejected.append((row, str(reason)))
            else:
                os.pwrite(target, pixels.tobytes(), row * row_bytes)
        os.fsync(target)  # before anybody notes that the block is done
    finally:
        os.close(target)
    return rejected
