"""Unlearned models themselves, for those who take weights and no outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from bench.engine import plan, references
from bench.engine.jobs import UnlearnWeights
from bench.engine.requests import Request, work_of
from bench.engine.session import Session
from bench.engine.worker.answers import Description
from bench.outputs import Arrays


def unlearned_weights(session: Session, request: Request, description: Description) -> Iterator[tuple[plan.Trials, Arrays]]:
    """Unlearn `request.models` times: trials and their weights {name: [M, ...]}, as they come.

    The trials are those of `bench run` with the same seed.

    Raises:
        BenchError: a trial failed.
    """
    reference = session.keeper.reference(session.task.key, session.device.kind, session.progress.note)
    references.build(session, reference, [])
    allowance = request.budget.allowance(references.retraining_time(session, reference))
    work = work_of(session, request, description, allowance, reference.original_weights())
    chunks = plan.chunks(description.variants, session.stack_size if description.stackable else 1)
    jobs = [UnlearnWeights(session.setting, work, chunk) for chunk in chunks]
    label = f"{request.plugin.name}: {request.models} checkpoints"
    for job, weights in session.results(jobs, label, str(request.spec), at_once=work.at_once):
        yield cast(UnlearnWeights, job).trials, weights
