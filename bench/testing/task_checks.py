"""What `bench plugins test` looks at in a task: its parts, and whether its data are the same again."""

from __future__ import annotations

from collections.abc import Iterator

from bench.errors import BenchError
from bench.registry import specs
from bench.tasks.datasets.dataset import Dataset
from bench.tasks.datasets.prepared import task_of
from bench.tasks.task import Task
from bench.tasks.validation import empty_splits, examined, wrong_digest
from bench.tasks.variants import registered_task
from bench.testing.outcome import Outcome, Status


def outcomes(text: str) -> Iterator[Outcome]:
    """What each check of an installed task, or of the one in a file, comes to.

    Raises:
        BenchError: it cannot be loaded, or is a dataset that is not prepared.
    """
    spec = specs.parse(text, "task")
    if spec.parameters:
        raise BenchError(f"give task {spec.plugin} without options: `bench tasks check {text}` looks at this form of it")
    registered = registered_task(spec.plugin)
    task = task_of(registered) if isinstance(registered, Dataset) else registered
    found = examined(task)
    yield from (_outcome(part, problems) for part, problems in found.items())
    if not any(problems for part, problems in found.items() if part != "digest"):
        yield _outcome("needed-splits", [f"there are no {name} photos" for name in empty_splits(task)])
    if not any(found.values()):
        yield _outcome("data-repeat", _changed(task))


def _changed(task: Task) -> list[str]:
    """Whether loading the data once more gives others."""
    changed = list(wrong_digest(task, task.load()))
    return [f"loaded again, {line}: seed whatever is drawn" for line in changed]


def _outcome(check: str, problems: list[str]) -> Outcome:
    return Outcome(check, Status.FAILED if problems else Status.PASSED, "; ".join(problems))
