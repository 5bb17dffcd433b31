"""What a job comes to on a machine. Whoever executes jobs calls `compute` where the data are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, cast

from bench.budget import PhaseClock, limit_seconds
from bench.engine import jobs
from bench.engine.failures import FailureLimit
from bench.engine.jobs import Alone, Computed, Job, Setting, T
from bench.engine.machine import Machine
from bench.engine.neighbours import Neighbours
from bench.engine.unlearning import rehearsed, starts_cold, unlearned
from bench.engine.worker.calls import MethodCalls, TrustedCalls
from bench.engine.worker.log import Printed, unheard
from bench.engine.worker.process import OnProgress
from bench.errors import WorkerError
from bench.models.networks import Cost
from bench.outputs import Arrays, Outputs
from bench.store.records import Failed, Killed, Measured


@dataclass(frozen=True)
class _Listener:
    """Who wants to know how far a job is, and what its plugin prints."""

    reached: OnProgress
    printed: Printed


def compute(job: Job[T], machine: Machine, reached: OnProgress = lambda share: None, printed: Printed = unheard) -> T:
    """Compute a job; `reached` is told which share of it is done, `printed` gets what its plugin prints, and tracebacks.

    A trusted worker that somebody killed is replaced, and its job tried once more. One that dies again beside the trials of
    a method is that method's failure.

    Raises:
        WorkerError: it cannot be computed.
    """
    does, listener = _COMPUTE[type(job)], _Listener(reached, printed)
    try:
        return cast(T, does(job, machine, listener))
    except _TrustedDiedError:
        try:
            return cast(T, does(job, machine, listener))
        except _TrustedDiedError as problem:
            if not isinstance(job, jobs.Unlearn):
                raise
            return cast(T, Failed(trials=job.trials, failure=f"beside it, the evaluating process died: {problem}", kind="died"))


class _TrustedDiedError(WorkerError):
    """A trusted worker is gone, which is nobody's fault here."""


@contextmanager
def _trusted(machine: Machine, setting: Setting, *, fresh: bool = False) -> Iterator[TrustedCalls]:
    """A trusted worker for one job; its death is told apart from a failure of what it was asked."""
    with machine.trusted(setting, fresh=fresh) as calls:
        try:
            yield calls
        except WorkerError as problem:
            if calls.worker.alive or machine.stopped.is_set():
                raise
            raise _TrustedDiedError(str(problem), kind="died") from problem


def _examine_network(job: jobs.ExamineNetwork, machine: Machine, listener: _Listener) -> Cost:
    with machine.lock(job.setting).shared(), _trusted(machine, job.setting) as trusted:
        found = trusted.examine_network()
        return Cost(found.parameters, found.activations)


def _train_original(job: jobs.TrainOriginal, machine: Machine, listener: _Listener) -> jobs.Trained:
    with machine.lock(job.setting).shared(), _trusted(machine, job.setting) as trusted:
        return jobs.Trained(*trusted.train_original(listener.reached))


def _evaluate(job: jobs.Evaluate, machine: Machine, listener: _Listener) -> Outputs:
    with machine.lock(job.setting).shared(), _trusted(machine, job.setting) as trusted:
        return trusted.evaluate(machine.weights(job.weights))


def _train_retrained(job: jobs.TrainRetrained, machine: Machine, listener: _Listener) -> Outputs:
    with machine.lock(job.setting).shared(), _trusted(machine, job.setting) as trusted:
        return trusted.train_retrained(job.indices, listener.reached)


def _time_retraining(job: jobs.TimeRetraining, machine: Machine, listener: _Listener) -> float:
    with machine.lock(job.setting).alone():
        return _retraining_seconds(machine, job.setting)


def _retraining_seconds(machine: Machine, setting: Setting) -> float:
    """Of one retraining, as an epoch has it now in a process that nobody used before."""
    with _trusted(machine, setting, fresh=True) as trusted:
        seconds = trusted.timed_epoch() * setting.recipe.epochs
    machine.just_timed(setting, seconds)
    return seconds


@dataclass
class _Beside:
    """What else was seen while something was timed."""

    retraining: tuple[float, ...] = ()  # seconds of one, right before and right after
    busy: float = 0.0  # share of the time of all cores that others used


@contextmanager
def _beside_retraining(machine: Machine, setting: Setting, clock: PhaseClock) -> Iterator[_Beside]:
    """Time an epoch of retraining before and after a block, which is alone on the device; neighbouring blocks share one."""
    beside = _Beside()
    before = machine.timed_just_now(setting) or _retraining_seconds(machine, setting)
    clock.lap("yardstick")
    neighbours = Neighbours()
    yield beside
    beside.retraining = before, _retraining_seconds(machine, setting)
    beside.busy = neighbours.share()
    clock.lap("yardstick")


def _train_on_shares(job: jobs.TrainOnShares, machine: Machine, listener: _Listener) -> jobs.Recognised:
    with machine.lock(job.setting).shared(), _trusted(machine, job.setting) as trusted:
        return jobs.Recognised(*trusted.train_on_shares(job.indices, job.share))


def _unlearn(job: jobs.Unlearn, machine: Machine, listener: _Listener) -> Computed | Failed:
    lock, work, trials = machine.lock(job.setting), job.work, job.trials
    with lock.alone() if work.uses_clock else lock.shared(), _trusted(machine, job.setting) as trusted:
        try:
            if machine.stopped.is_set():
                raise WorkerError("stopped", kind="died")
            return _chunk(machine, job, trusted, listener)
        except _TrustedDiedError:
            raise
        except WorkerError as problem:
            if not trusted.worker.alive:
                raise  # not the method's fault
            _tell(listener, problem)
            if len(trials) > 1 and problem.kind != "memory" and not machine.stopped.is_set():
                return _blamed(machine, job, trusted, listener, problem)
            return Failed(trials=trials, failure=str(problem), kind=problem.kind)


def _chunk(machine: Machine, job: jobs.Unlearn, trusted: TrustedCalls, listener: _Listener) -> Computed:
    """Unlearn as a stack if the method allows it, evaluate in the trusted worker; a method that uses the clock is timed, too."""
    clock, work = PhaseClock(), job.work
    with _beside_retraining(machine, job.setting, clock) if work.uses_clock else nullcontext(_Beside()) as beside:
        with machine.method(job.setting, work, listener.printed) as method:
            weights, seconds = unlearned(machine, method, work, clock, job.trials, listener.reached, stacked=work.stackable)
            memory = _peak_memory(job.setting, method)
        clock.lap("setup")
    outputs = trusted.evaluate(weights)
    if len(outputs) != len(job.trials):
        raise WorkerError(f"the plugin's process answered {len(outputs)} models for {len(job.trials)} trials")
    clock.lap("eval")
    measured: dict[str, Any] = {**memory, **asdict(beside)}
    return Computed(outputs, Measured(phases=clock.phases, seconds=seconds, **measured), clock.seconds)


def _blamed(machine: Machine, job: jobs.Unlearn, trusted: TrustedCalls, listener: _Listener, problem: WorkerError) -> Failed:
    """After a stack has failed, run its trials one by one; one that fails alone is to blame."""
    trials, failures = job.trials, FailureLimit()
    failed: dict[int, WorkerError] = {}
    finished = 0
    for trial in trials:
        if failures.reached or machine.stopped.is_set():
            break
        try:
            with machine.method(job.setting, job.work, listener.printed) as method:
                weights, _ = unlearned(machine, method, job.work, PhaseClock(), [trial], lambda share: None, stacked=True)
            trusted.evaluate(weights)
            finished += 1
            failures.count(failed=False)
        except WorkerError as own:
            if not trusted.worker.alive:
                raise
            failed[trial] = own
            failures.count(failed=True)
    if not failed:
        alone = " (each alone finishes)" if finished == len(trials) else ""
        failure = f"trials {trials[0]}-{trials[-1]}, stacked: {problem}{alone}"
        return Failed(trials=trials, failure=failure, kind=problem.kind, finished=finished, in_a_row=0)
    first, reason = next(iter(failed.items()))
    failure, in_a_row = f"{reason} (trial {first})", failures.in_a_row
    return Failed(trials=trials, failure=failure, kind=reason.kind, finished=finished, in_a_row=in_a_row)


def _time_trial(job: jobs.TimeTrial, machine: Machine, listener: _Listener) -> Alone | Killed:
    """What a method takes beyond twice its budget is not waited for: it is over budget either way."""
    clock, work, killed, memory = PhaseClock(), job.work, "", {}
    weights: Arrays = {}
    with machine.lock(job.setting).alone():
        clock.lap("io")
        with _beside_retraining(machine, job.setting, clock) as beside:
            try:
                cold = starts_cold(job.setting)
                with machine.method(job.setting, work, listener.printed, fresh=True, decoy=cold) as method:
                    imported = rehearsed(machine, method, job, clock) if cold else None
                    ask = [job.trial], listener.reached
                    weights, seconds = unlearned(machine, method, work, clock, *ask, stacked=False, imported=imported)
                    memory = _peak_memory(job.setting, method)
            except WorkerError as problem:
                if problem.kind != "time":
                    _tell(listener, problem)
                    raise
                killed, seconds = str(problem), limit_seconds(work.allowance)
            clock.lap("setup")
    measured: dict[str, Any] = {"seconds": seconds, "phases": clock.phases, **memory, **asdict(beside)}
    if killed:
        return Killed(trial=job.trial, killed=killed, **measured)
    with machine.lock(job.setting).shared(), _trusted(machine, job.setting) as trusted:
        outputs = trusted.evaluate(weights)
    clock.lap("eval")
    return Alone(outputs, Measured(**measured))


def _unlearn_weights(job: jobs.UnlearnWeights, machine: Machine, listener: _Listener) -> Arrays:
    work, trials = job.work, job.trials
    try:
        with machine.lock(job.setting).shared(), machine.method(job.setting, work, listener.printed) as method:
            return unlearned(machine, method, work, PhaseClock(), trials, listener.reached, stacked=work.stackable)[0]
    except WorkerError as problem:
        raise WorkerError(f"trials {trials[0]}-{trials[-1]}: {problem}", problem.traceback, problem.kind) from problem


def _peak_memory(setting: Setting, method: MethodCalls) -> dict[str, int]:
    """Bytes of the device, as its allocator counts, or of the processes if the device is a CPU; and of the processes."""
    host = method.worker.peak_memory()
    return {"peak_memory": host if setting.device == "cpu" else method.peak_device_memory(), "peak_host_memory": host}


def _tell(listener: _Listener, problem: WorkerError) -> None:
    """Hand on a child's traceback."""
    if problem.traceback:
        listener.printed(problem.traceback.encode(errors="replace"))


_COMPUTE: dict[type, Callable[..., object]] = {
    jobs.ExamineNetwork: _examine_network,
    jobs.TrainOriginal: _train_original,
    jobs.Evaluate: _evaluate,
    jobs.TrainRetrained: _train_retrained,
    jobs.TimeRetraining: _time_retraining,
    jobs.TrainOnShares: _train_on_shares,
    jobs.Unlearn: _unlearn,
    jobs.TimeTrial: _time_trial,
    jobs.UnlearnWeights: _unlearn_weights,
}
