"""Models that were unlearned elsewhere: evaluated here if they come as weights, and kept as a run that nobody timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from msgspec.structs import replace

from bench.budget import Budget
from bench.engine import references
from bench.engine.jobs import Evaluate, Job
from bench.engine.runs import new_record
from bench.engine.session import Session
from bench.outputs import Arrays, Outputs, concatenate
from bench.store.method_records import MethodRecord
from bench.store.records import Measured

SUMMARY = "Unlearned elsewhere: its author's models, which nobody timed."


def evaluated(session: Session, stacks: Sequence[Arrays]) -> Outputs:
    """What models answer, which are given in stacks {name: [M, ...]}, in their order.

    Raises:
        BenchError: an answer is not finite.
    """
    jobs: list[Job[Any]] = [Evaluate(session.setting, session.shelf.put_weights(stack)) for stack in stacks]
    found = dict[str, Outputs]()
    for job, outputs in session.results(jobs, "evaluating models from elsewhere", "evaluating the checkpoints failed"):
        found[cast(Evaluate, job).weights] = outputs
    return concatenate([found[cast(Evaluate, job).weights] for job in jobs])


def keep(session: Session, name: str, source: str, outputs: Outputs, budget: Budget) -> str:
    """Keep outputs as a run beside those of a budget; what it is compared with is trained first. Returns the run's name.

    Args:
        session: of the task and the device.
        name: what the row is called.
        source: SHA-256 of the files that the outputs come from: the same ones are the same run.
        outputs: answers of N models.
        budget: of the division that the row is shown in.
    """
    models = len(outputs)
    reference = session.keeper.reference(session.task.key, session.device.kind, session.progress.note)
    references.build(session, reference, range(models))
    method = MethodRecord(
        name=name, spec=name, hyper_parameters={}, source_hash=source, control=False, reference_models=(), summary=SUMMARY
    )
    trials = tuple(range(models))
    record = replace(new_record(session, reference, method, budget, models, [trials]), self_reported=True)
    with session.keeper.run(record, again=False, note=session.progress.note) as run:
        if not run.record.complete:
            run.keep_outputs(trials, outputs, Measured(), wall_seconds=0.0)
        return run.record.run
