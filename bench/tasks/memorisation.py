"""Which training photos models learn by heart: they are recognised by models that saw them, and not by others.

Source: the subsampled estimate of Feldman and Zhang 2020, arXiv:2008.03703, equation 1 and section 2: models are trained on
random shares of the training set; memorisation of a photo is the difference of its accuracy between models with and without.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import BenchError
from bench.store.archives import read_npz, write_npz
from bench.store.files import DamagedFileError, write_bytes
from bench.tasks.forget import training_rows
from bench.tasks.task import Task

SHARE = 0.7  # of the training set that each model sees (Feldman and Zhang, section 3)


def memorisation(right: ArrayLike, included: ArrayLike) -> NDArray[np.float64]:
    """Accuracy of each photo [n] under models that saw it less that under models that did not, in [-1, 1].

    Args:
        right: whether model m recognises photo i, [M, n].
        included: whether model m was trained on photo i, [M, n].

    Returns:
        float64 [n]; NaN for a photo that all models saw, or none.

    >>> memorisation([[1, 1], [0, 1]], [[1, 0], [0, 1]]).tolist()
    [1.0, 0.0]
    """
    answers, seen = np.asarray(right, dtype=np.float64), np.asarray(included, dtype=bool)
    with_it, without_it = ((answers * mask).sum(0) / np.maximum(mask.sum(0), 1) for mask in (seen, ~seen))
    found: NDArray[np.float64] = np.where(seen.any(0) & ~seen.all(0), with_it - without_it, np.nan)
    return found


def write(task: Task, scores: NDArray[np.float64]) -> Path:
    """Keep memorisation of every training photo, in the order of `training_rows`; returns the file."""
    path = _path(task)
    write_bytes(path, write_npz({"scores": scores}))
    return path


def read(task: Task) -> NDArray[np.float64]:
    """Memorisation of every training photo, in the order of `training_rows`.

    Raises:
        BenchError: nobody has measured it.
    """
    path = _path(task)
    try:
        scores = read_npz(path.read_bytes())["scores"].astype(np.float64)
    except FileNotFoundError:
        raise BenchError(
            f"nobody has measured yet what models memorise of {task.name}: `bench tasks memorise {quote(task.name)}` does it"
        ) from None
    except (OSError, ValueError, KeyError) as problem:
        raise DamagedFileError(path, str(problem), mend=f"`bench tasks memorise {task.name}` makes it again") from problem
    if scores.shape != training_rows(task.load()).shape or np.isinf(scores).any():
        raise DamagedFileError(path, "it is of other data", mend=f"`bench tasks memorise {task.name}` makes it again")
    return scores


def _path(task: Task) -> Path:
    """The same for all forget sets of a task: whom to forget is what the scores are for."""
    from bench.tasks.datasets.home import home

    data = task.load()
    rows = training_rows(data)
    source = [task.own_network.source] if task.own_network else []
    digest = hashlib.sha256(json.dumps([task.network, asdict(task.recipe), SHARE, *source], sort_keys=True).encode())
    digest.update((data.images_digest or hashlib.sha256(data.images[rows].tobytes()).hexdigest()).encode())
    digest.update(data.labels[rows].tobytes() + rows.tobytes())
    return home() / "memorisation" / f"{task.name.partition('[')[0]}-{digest.hexdigest()[:16]}.npz"
