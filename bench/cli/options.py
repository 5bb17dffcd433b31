"""Options that several commands share."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bench.models.devices import DEVICES, FLOAT32, PRECISIONS, gpu_number
from bench.registry import discovery, specs
from bench.registry.paths import expanded
from bench.store import DEFAULT, REFERENCES, SHIPPED

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Read 500MB or 1.5GB."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT]B)", text.strip().upper())
    if not match or float(match[1]) == 0:
        raise click.BadParameter(f"{text!r} is not understood: give a size such as 500MB or 4GB")
    return int(float(match[1]) * _UNITS[match[2]])


def _device(ctx: click.Context, param: click.Parameter, text: str) -> str:
    """Whether a device can be called so; whether there is one shows later."""
    gpu_number(text)
    return text


def complete(*groups: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Shell completion by the names of groups of plugins; reads metadata only."""

    def names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        return [plugin.name for group in groups for plugin in discovery.plugins(group) if plugin.name.startswith(incomplete)]

    return names


def as_typed(**values: tuple[object, object]) -> str:
    """Options, each with its value and its default, as somebody types those whose value is another."""
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, (value, default) in values.items() if value != default)


class UserPath(click.Path):
    """A path in which `~` is the home folder, whatever the shell has made of it."""

    def __init__(self, **rules: bool) -> None:
        super().__init__(path_type=Path, **rules)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A path that keeps the rules of `click.Path`."""
        return super().convert(expanded(value), param, ctx)


store = click.option(
    "--store",
    type=UserPath(file_okay=False),
    envvar="BENCH_STORE",
    default=Path(DEFAULT),
    show_default=True,
    help="Folder of results; $BENCH_STORE if set.",
)
_task_name = click.option(
    "--task",
    default="age-synthetic",
    show_default=True,
    help="Task, as listed by `bench tasks`, or a file: my_task.py.",
    shell_complete=complete(discovery.TASKS),
)
_task_argument = click.argument("task", shell_complete=complete(discovery.TASKS))
_task_form = (
    click.option(
        "--forget", help="Whom to forget: identities:40, random:500, group:3, memorised:120, file:PATH.  [default: the task's]"
    ),
    click.option(
        "--model",
        help="Network: resnet8, resnet18, the name of an installed one, or file.py:CLASS.  [default: the task's]",
        shell_complete=complete(discovery.NETWORKS),
    ),
    click.option("--size", type=click.IntRange(min=1), help="Pixels of a side at which the task was prepared."),
)


def _in_some_form(name: Decorator) -> Decorator:
    """Parameters that choose a task and a form of it; the command gets `task`, a text for `load_task`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def called(*arguments: Any, task: str, forget: str | None, model: str | None, size: int | None, **others: Any) -> Any:
            spec = specs.parse(task, "task")
            given = {option: value for option, value in (("forget", forget), ("model", model), ("size", size)) if value}
            return function(*arguments, task=str(specs.Spec(spec.plugin, {**spec.parameters, **given})), **others)

        wrapped: Callable[..., Any] = called
        for parameter in reversed((name, *_task_form)):
            wrapped = parameter(wrapped)
        return wrapped

    return decorate


task = _in_some_form(_task_name)
named_task = _in_some_form(_task_argument)
reference = click.option(
    "--reference",
    type=click.Choice(REFERENCES),
    envvar="BENCH_REFERENCE",
    default=SHIPPED,
    show_default=True,
    help="Use the retrained models that come with bench where they fit, or train all of them here; $BENCH_REFERENCE if set.",
)
device = click.option(
    "--device",
    default="auto",
    show_default=True,
    callback=_device,
    help=f"Where models are computed: {DEVICES}.",
)
precision = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=FLOAT32,
    show_default=True,
    help="What networks compute in; their weights and answers are float32. Rows of different precisions are never compared.",
)
executor = click.option(
    "--executor",
    default="local",
    show_default=True,
    help="Where jobs are computed, as listed by `bench plugins`.",
    shell_complete=complete(discovery.EXECUTORS),
)
workers = click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: one per core, or one per GPU]")
memory_limit = click.option(
    "--memory-limit",
    callback=_bytes,
    help="Memory that a trial's processes may have, 4GB say.  [default: 90 % of what is free, shared by the workers]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
