"""The plugin contract: one hook per entry-point group. The entry point's name is the name of what it registers.

Hooks only ever gain arguments; an implementation may leave out those that it does not need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click
    from torch.nn import Module

    from bench.engine.executor import ExecutorFactory
    from bench.method import Method
    from bench.metrics.metric import Metric
    from bench.tasks.datasets.dataset import Dataset
    from bench.tasks.task import Task

PROJECT = "bench"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register one unlearning method. Entry-point group: `bench`."""


@hookspec
def register_tasks(register: Callable[[Task | Dataset], None]) -> None:
    """Register one task, or a dataset that becomes one once it is prepared. Entry-point group: `bench.tasks`."""


@hookspec
def register_networks(register: Callable[[Callable[..., Module]], None]) -> None:
    """Register one network: a class, or a function that makes one. Entry-point group: `bench.networks`."""


@hookspec
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register one metric. Entry-point group: `bench.metrics`."""


@hookspec
def register_executors(register: Callable[[ExecutorFactory], None]) -> None:
    """Register what makes an executor: a place where jobs are computed. Entry-point group: `bench.executors`."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add one command to the command line. Entry-point group: `bench.commands`."""
