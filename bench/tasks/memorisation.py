"""Which training photos models learn by heart: they are recognised by models that saw them, and not by others.

Source: the subsampled estimate of Feldman and Zhang 2020, arXiv:2008.03703, equation 1 and section 2: models are trained on
random shares of the training set; memorisation of a photo is the difference of its accuracy between models with and without.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.archives import read_npz
from bench.errors import BenchError, WorkerError
from bench.store import DamagedFileError, write_bytes
from bench.tasks.forget import training_rows
from bench.tasks.task import Task

if TYPE_CHECKING:
    from bench.engine.process import Worker
    from bench.engine.session import Session

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


def measure(session: Session, models: int) -> Path:
    """Train models on shares of the training set, and keep what that says of each photo; returns the file.

    Raises:
        BenchError: a worker cannot train them.
    """
    size = session.stack_size
    jobs = [tuple(range(start, min(start + size, models))) for start in range(0, models, size)]
    advance = session.progress.stage(f"memorisation: {models} models", models)
    answers: dict[tuple[int, ...], tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}

    def train(worker: Worker, job: tuple[int, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        reply = worker.ask("train_on_shares", indices=list(job), share=SHARE)
        return reply.arrays["right"], reply.arrays["included"]

    for job, answer in session.executor.map(jobs, train):
        if isinstance(answer, WorkerError):
            raise BenchError(f"training for memorisation failed: {answer}") from answer
        answers[job] = answer
        advance(len(job))
    right, included = (np.concatenate([answers[job][side] for job in jobs]) for side in (0, 1))
    faces = session.faces
    rows = np.concatenate([faces.splits["retain"], faces.splits["forget"]])  # the order in which workers hold them
    buffer = io.BytesIO()
    np.savez(buffer, scores=memorisation(right, included)[np.argsort(rows)])
    path = _path(session.task)
    write_bytes(path, buffer.getvalue())
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
    from bench.datasets.prepared import home

    faces = task.load()
    rows = training_rows(faces)
    digest = hashlib.sha256(json.dumps([task.network, asdict(task.recipe), SHARE], sort_keys=True).encode())
    digest.update((faces.images_digest or hashlib.sha256(faces.images[rows].tobytes()).hexdigest()).encode())
    digest.update(faces.labels[rows].tobytes() + rows.tobytes())
    return home() / "memorisation" / f"{task.name.partition('[')[0]}-{digest.hexdigest()[:16]}.npz"
