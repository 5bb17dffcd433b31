"""One or more trials in a method's process, and what is done before where first times are slow."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from bench.budget import PhaseClock, beyond_free, limit_seconds
from bench.engine.jobs import Setting, TimeTrial, Work
from bench.engine.machine import Machine
from bench.engine.worker.answers import STILL_THERE
from bench.engine.worker.calls import MethodCalls
from bench.engine.worker.process import OnProgress
from bench.errors import WorkerError, one_line
from bench.outputs import Arrays

COMPILING = 120.0  # seconds that a rehearsal may take beside the method's own limit


def starts_cold(setting: Setting) -> bool:
    """Whether the first use of each kernel is slow, which the epochs of retraining beside it are spared."""
    return setting.device != "cpu"


def rehearsed(machine: Machine, method: MethodCalls, job: TimeTrial, clock: PhaseClock) -> float:
    """Have a method run once on a decoy, then hand over the task; seconds that importing it took.

    What it keeps is of no use to it: nobody can know the decoy's order, its weights are random, its folder is emptied, and the
    method is made anew. That it is a rehearsal, it can see, and gains nothing by that. It may fail on what it is not made for,
    but it must end, and may leave nothing that goes on.
    """
    work, imported = job.work, _load(method, job.trial)
    method.start([job.trial], secrets.randbits(32), work.allowance, stacked=False)
    method.warm_up()
    try:
        method.unlearn(lambda share: None, expected=work.allowance, limit=limit_seconds(work.allowance) + COMPILING)
    except WorkerError as problem:
        if problem.kind == "time" or not method.worker.alive or STILL_THERE in str(problem):
            raise WorkerError(f"in a rehearsal on a decoy: {problem}", problem.traceback, problem.kind) from problem
    _demand_rest(method)
    method.hand_over(machine.handed(job.setting, work), job.trial)
    clock.lap("warmup")
    return imported


def unlearned(
    machine: Machine,
    method: MethodCalls,
    work: Work,
    clock: PhaseClock,
    trials: Sequence[int],
    reached: OnProgress,
    *,
    stacked: bool,
    imported: float | None = None,
) -> tuple[Arrays, float]:
    """Weights of the unlearned models, and the seconds until they had arrived: to answer before that gains nothing.

    Nor does it to work before it is asked: importing and preparing count, but for what honest methods need. A method that was
    rehearsed has been `imported` before, in so many seconds.
    """
    if imported is None:
        imported = _load(method, trials[0])
    begun = method.worker.clock()
    method.start(trials, work.seed, work.allowance, stacked=stacked)
    clock.lap("setup")
    method.warm_up()
    clock.lap("warmup")
    start, limit = method.worker.clock(), limit_seconds(work.allowance, len(trials))
    prepared = imported + (start - begun if method.worker.on_cpu else 0.0)  # a device has to be set up first, which takes seconds
    method.unlearn(reached, expected=work.allowance * len(trials), limit=limit)
    clock.lap("method")
    model_bytes = sum(array[0:1].nbytes for array in machine.weights(work.original).values())
    arrays = method.weights(largest=2**20 + 4 * len(trials) * model_bytes)
    seconds = max(0.0, method.worker.clock() - start) + beyond_free(prepared, work.allowance, len(trials))
    _demand_rest(method)
    clock.lap("io")
    return arrays, seconds


def _load(method: MethodCalls, trial: int) -> float:
    """Have a method imported; how many seconds that took."""
    before = method.worker.clock()
    method.load(trial)
    return method.worker.clock() - before


def _demand_rest(method: MethodCalls) -> None:
    """Nothing that a method has started may go on."""
    if left := method.worker.still_there():
        raise WorkerError(one_line(f"{STILL_THERE}: {', '.join(left)}"))
