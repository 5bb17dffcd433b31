"""Train and show what unlearning is compared with: the original and the retrained models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import options
from bench.hookspecs import hookimpl
from bench.store import SHIPPED

if TYPE_CHECKING:
    from bench.store.references import Reference


@click.group()
def reference() -> None:
    """Train and show a task's original model and retrained models."""


@reference.command()
@options.task
@options.store
@options.device
@options.precision
@options.executor
@options.workers
@options.reference
@click.option("--models", type=click.IntRange(min=1), default=16, show_default=True, help="Retrained models to have.")
def build(
    task: str, store: Path, device: str, precision: str, executor: str, workers: int | None, reference: str, models: int
) -> None:
    """Train what is missing; an interrupted build goes on where it stopped."""
    from bench.engine import references
    from bench.engine.executor import find_executor
    from bench.engine.machine import find_device
    from bench.engine.session import Session
    from bench.progress import Bars
    from bench.store.store import Store
    from bench.tasks.variants import load_task

    opened, chosen = Store(store), load_task(task)
    opened.prepare()
    found = find_device(device, precision)
    made = find_executor(executor)
    shipped = reference == SHIPPED
    with Bars() as progress, Session(opened, chosen, found, made, workers=workers, progress=progress, shipped=shipped) as session:
        built = opened.reference(chosen.key, found.kind, progress.note)
        references.build(session, built, range(models))
    click.echo(
        f"{built.record.available} retrained models in {built.folder}, {built.record.shipped_models} of them shipped with bench"
    )


@reference.command()
@click.argument("file", type=options.UserPath(exists=True, dir_okay=False))
@options.store
def add(file: Path, store: Path) -> None:
    """Put a reference that `bench export reference` wrote into a store that has none of its task."""
    from bench.store.exchange import add_reference
    from bench.store.store import Store

    opened = Store(store)
    opened.prepare()
    click.echo(f"added {add_reference(opened, file)}")


@reference.command()
@options.task
@options.store
@options.as_json
def show(task: str, store: Path, as_json: bool) -> None:
    """Show which reference models the store has, per device."""
    from bench.tasks.variants import load_task

    chosen = load_task(task)
    found = _summaries(store, chosen.key)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    elif not found:
        click.echo(f"no reference of {task} in {store}; `bench reference build` makes one")
    for item in [] if as_json else found:
        click.echo(
            f"{item['device']}: {item['retrained_models']} retrained models ({item['origin']}),"
            f" stacks of {item['stack_size']}, in {item['folder']}"
        )
        for name, value in item["accuracy"].items():
            shown = "   ".join(f"{side} {mean:.3f}" for side, mean in value.items() if mean is not None)
            click.echo(f"  {name:<22}{shown}")
        for device, seconds in item["retraining_seconds"].items():
            click.echo(f"  one retraining takes {seconds:.1f} s on {device}")


def _summaries(store: Path, task_key: str) -> list[dict[str, Any]]:
    from bench.store.references import Reference
    from bench.store.store import Store

    return [_summary(Reference(folder)) for folder in Store(store).reference_folders(task_key)]


def _summary(reference: Reference) -> dict[str, Any]:
    from bench.metrics.metric import Models
    from bench.store.reference_records import origin

    record, labels, count = reference.record, reference.labels(), reference.record.available
    sides = {"original": reference.original()}
    if count:
        sides["retrained"] = reference.retrained(range(count))
    scores: dict[str, dict[str, float]] = {"retain": {name: float(side.retain_accuracy.mean()) for name, side in sides.items()}}
    for split in (name for name in ("forget", "validation", "test", "unseen") if labels[name].size):
        scores[split] = {name: float(Models(side, labels).accuracy(split).mean()) for name, side in sides.items()}
    return {
        "device": record.device or reference.folder.name,
        "folder": str(reference.folder),
        "retrained_models": count,
        "shipped_models": record.shipped_models,
        "origin": origin(count, record.shipped_models),
        "stack_size": record.stack_size,
        "accuracy": {f"{split} accuracy": {"retrained": None, **means} for split, means in scores.items()},
        "retraining_seconds": record.retraining_times,
    }


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench reference`."""
    cli.add_command(reference)
