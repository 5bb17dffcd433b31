"""What the first call in a fresh process costs (seconds): a timed trial is one, and is measured against the budget."""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING

from findings import Findings, seconds_of

from bench.engine.worker.forking import start_child

if TYPE_CHECKING:
    from bench.engine.jobs import Setting
    from bench.engine.worker.method import MethodServer
    from bench.tasks.task import Task, TaskData

RETRAINING, EAGER = "retraining", "@eager"
METHODS = ("finetune", "scrub", "noise-injection", "negative-gradient")


class Nobody:
    """A connection that nobody listens at."""

    def send_bytes(self, content: bytes) -> None:
        """Drop it."""


def measure(findings: Findings) -> None:
    """Seconds of the epochs that a budget is a share of, and of each method's trials, every one in a fresh process."""
    for part in findings.pick((RETRAINING, *METHODS, f"scrub{EAGER}"), (RETRAINING, METHODS[2])):
        findings.attempt(part, _in_a_process, findings, part)


def _in_a_process(findings: Findings, part: str) -> None:
    """Measure a part in a child like those of the engine."""
    child = start_child(_part, findings, part)
    child.join(findings.left / 2)
    if child.exitcode is None:
        child.kill()
        child.join()
        raise TimeoutError("the child does not end")
    if child.exitcode:
        raise ChildProcessError(f"exit code {child.exitcode}")


def _part(findings: Findings, part: str) -> None:
    """In the child: what is to be measured. Of eager parts all kernels are loaded when CUDA is first used."""
    if part.endswith(EAGER):
        os.environ["CUDA_MODULE_LOADING"] = "EAGER"
    findings.attempt(part, _retraining if part == RETRAINING else _method, findings, part)


def _retraining(findings: Findings, part: str) -> None:
    """Seconds until an epoch of retraining can be timed, and of epochs after that, the first of which is the yardstick."""
    from bench.engine.worker.trusted import TrustedServer
    from bench.tasks.task import SPLITS

    task, data, setting = _task(findings)
    server = TrustedServer(Nobody(), setting, {name: data.split(name) for name in SPLITS})
    first = seconds_of(server.prepare_epoch, findings.device)
    warm = [seconds_of(server.run_epoch, findings.device) for _ in range(findings.pick(10, 2))]
    retraining = warm[0] * task.recipe.epochs
    findings.put(
        part,
        prepared=round(first, 3),
        epochs=[round(seconds, 4) for seconds in warm],
        retraining=round(retraining, 3),
        budget_20=round(0.2 * retraining, 4),
    )


def _method(findings: Findings, part: str) -> None:
    """Seconds of a method's first warm-up, of its first trial and of later ones in the same process."""
    server = _method_server(findings, part.removesuffix(EAGER))
    seconds = []
    for trial in range(findings.pick(4, 2)):
        server.load(trial)
        server.start([trial], 0, 1.0, stacked=False)
        warm_up = seconds_of(server.warm_up, findings.device)
        if not trial:
            findings.put(f"{part}: warm-up call", seconds=round(warm_up, 3))
        seconds.append(
            seconds_of(lambda: (server.unlearn(), [view.cpu() for view in server.weights()[1].values()]), findings.device)
        )
    findings.put(
        f"{part}: alone",
        first=round(seconds[0], 4),
        later=[round(later, 4) for later in seconds[1:]],
        first_over_later=round(seconds[0] / statistics.median(seconds[1:]), 2),
    )


def _method_server(findings: Findings, name: str) -> MethodServer:
    """What a child process runs a method with; its original model is not trained, which changes no time."""
    from bench.engine.worker.guards import Guards
    from bench.engine.worker.handed import Handed
    from bench.engine.worker.method import MethodServer
    from bench.models.build import initialised
    from bench.registry import discovery, specs
    from bench.weights import state

    task, data, setting = _task(findings)
    original = {name: view.numpy() for name, view in state(initialised(task.network, len(task.groups), 1)).items()}
    plugin, spec = discovery.find_method(name), specs.parse(name)
    return MethodServer(Guards(), Nobody(), setting, Handed.of(data, original), plugin, spec, None)


def _task(findings: Findings) -> tuple[Task, TaskData, Setting]:
    """The task, its data, and what a child process must know of both."""
    from bench.engine.jobs import Setting
    from bench.tasks.variants import load_task

    task = load_task(findings.task)
    return task, task.load(), Setting(task.network, len(task.groups), task.recipe, findings.device, findings.device, task.digest)
