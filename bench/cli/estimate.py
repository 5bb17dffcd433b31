"""Say what a run would take, before anything is trained."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.budget import Budget, in_words
from bench.cli import options
from bench.hookspecs import hookimpl
from bench.models.devices import is_device, kind_of, precision_named
from bench.store import SHIPPED

if TYPE_CHECKING:
    from bench.engine.estimate import Estimate
    from bench.engine.machine import Device
    from bench.store.references import Reference
    from bench.store.store import Store
    from bench.tasks.task import Task


@click.command()
@options.task
@click.option("--models", type=click.IntRange(min=1), default=16, show_default=True, help="Trials, and models to compare with.")
@click.option("--budget", default="20%", show_default=True, help="Time per trial: a share of retraining time, or seconds (30s).")
@options.store
@options.reference
@click.option("--device", default="auto", show_default=True, help="One that is here, or a GPU that was measured elsewhere: H200.")
@options.precision
@options.workers
@click.option("--measure", is_flag=True, help="Train one epoch now, where it was never timed.")
@options.as_json
def estimate(
    task: str,
    models: int,
    budget: str,
    store: Path,
    reference: str,
    device: str,
    precision: str,
    workers: int | None,
    measure: bool,
    as_json: bool,
) -> None:
    """Say what a method that uses its budget up would take: time, memory and disk. Nothing is trained without --measure."""
    from bench.engine import references
    from bench.engine.estimate import Planned
    from bench.engine.estimate import estimate as estimated
    from bench.engine.executor import find_executor
    from bench.engine.machine import find_device
    from bench.engine.session import Session
    from bench.progress import Bars
    from bench.store.store import Store
    from bench.tasks.variants import load_task

    chosen, opened = load_task(task), Store(store)
    away = not is_device(device)
    found = _elsewhere(device, precision) if away else find_device(device, precision)
    made = find_executor("local")
    with Bars() as progress, Session(opened, chosen, found, made, workers=workers, progress=progress) as session:
        planned = Planned.of(session, models, Budget.parse(budget))
        known = _reference(opened, chosen, found.kind, shipped=reference == SHIPPED)
        seconds = known.retraining_time(found.timed_as) or (references.timed(session) if measure and not away else None)
    there = known.record.available + known.has_original
    _show(chosen, estimated(replace(planned, to_train=max(0, models + 1 - there), retraining=seconds)), as_json=as_json)


def _elsewhere(name: str, precision: str) -> Device:
    """A GPU that is not here."""
    from bench.engine.estimate import measured_gpu
    from bench.engine.machine import Device

    known, memory = measured_gpu(name)
    return Device(kind_of(known, precision_named(precision)), "cuda", "", {}, memory=memory)


def _reference(store: Store, task: Task, kind: str, *, shipped: bool) -> Reference:
    """What there is to compare with."""
    from bench.store.reference_records import ReferenceTask

    known = store.reference(task.key, kind)
    if shipped:
        known.look_at_shipped(ReferenceTask(name=task.name, key=task.key), kind)
    return known


def _show(task: Task, found: Estimate, *, as_json: bool) -> None:
    planned = found.planned
    if as_json:
        told = asdict(replace(planned, budget=str(planned.budget)))  # type: ignore[arg-type]
        click.echo(json.dumps({"task": task.name, "seconds": found.seconds, **asdict(found), "planned": told}, indent=1))
        return
    from bench.cli.show import table

    workers = f"{planned.workers} workers" if planned.workers > 1 else "1 worker"
    click.echo(f"{task.name}, {planned.models} models, {in_words(str(planned.budget))}, {planned.kind}, {workers}\n")
    rows = [[part.name, _duration(part.seconds), f"{part.source}{part.told and ': '}{part.told}"] for part in found.parts]
    table(["", "time", "by what was"], [*rows, ["all together", _duration(found.seconds), ""]])
    device = f"{found.device_bytes / 1e9:.1f} GB on the GPU, " if found.device_bytes else ""
    each = " for each worker" if planned.workers > 1 else ""
    click.echo(f"\nmemory: {device}{found.host_bytes / 1e9:.1f} GB{' beside it' if device else each}")
    click.echo(f"disk:   {found.disk_bytes / 1e6:.1f} MB")


def _duration(seconds: float) -> str:
    """Seconds as a reader wants them.

    >>> _duration(0.4), _duration(75), _duration(7300), _duration(360_000)
    ('0.4 s', '75 s', '122 min', '100 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 10_800 else f"{seconds / 3600:.0f} h"


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench estimate`."""
    cli.add_command(estimate)
