"""Unlearned models themselves, for those who take weights and no outputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.arrays import Arrays
from bench.engine import plan, references
from bench.engine.requests import Request
from bench.engine.session import Session
from bench.engine.trials import Trials, Work
from bench.engine.worker.answers import Description
from bench.engine.worker.process import Worker
from bench.errors import BenchError, WorkerError


def unlearned_weights(session: Session, request: Request, description: Description) -> Iterator[tuple[plan.Chunk, Arrays]]:
    """Unlearn `request.models` times: trials and their weights {name: [M, ...]}, as they come.

    The trials are those of `bench run` with the same seed.

    Raises:
        BenchError: a trial failed.
    """
    reference = session.keeper.reference(session.task.key, session.device.kind, session.progress.note)
    references.build(session, reference, [])
    allowance = request.budget.allowance(references.retraining_time(session, reference))
    work = Work(request.plugin, request.spec, request.seed, description.stackable, description.uses_clock, allowance)
    chunks = plan.chunks(description.variants, session.stack_size if description.stackable else 1)
    advance = session.progress.stage(f"{request.plugin.name}: {request.models} checkpoints", len(chunks))
    with (
        tempfile.TemporaryDirectory() as folder,
        Trials(session, reference.original_weights(), work, Path(folder) / "log") as made,
    ):

        def unlearn(_: Worker, chunk: plan.Chunk) -> Arrays:
            return made.weights(chunk)

        for chunk, weights in session.executor.map(chunks, unlearn, at_once=work.at_once):
            if isinstance(weights, WorkerError):
                raise BenchError(f"{request.spec}: trials {chunk[0]}-{chunk[-1]}: {weights}") from weights
            yield chunk, weights
            advance(1)
