"""List tasks, show one, draw its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import options
from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.registry import discovery

if TYPE_CHECKING:
    from bench.tasks.datasets.dataset import Dataset
    from bench.tasks.datasets.prepared import Prepared
    from bench.tasks.task import Task, TaskData

SHEET_COLUMNS, SHEET_SCALE = 15, 2
_LONG = ("for example", "remarks")  # a line each


@click.group(invoke_without_command=True)
@click.pass_context
def tasks(context: click.Context) -> None:
    """List the installed tasks, prepare datasets, look at what they hold."""
    if context.invoked_subcommand is None:
        from bench.tasks.datasets.prepared import prepared_sizes

        for plugin, summary in discovery.summaries(discovery.TASKS):
            sizes = prepared_sizes(plugin.name)
            prepared = f"  [prepared at {', '.join(map(str, sizes))} pixels]" if sizes else ""
            click.echo(f"{plugin.name}  {plugin.distribution}  {plugin.version}  {summary}{prepared}")


@tasks.command()
@click.argument("name", shell_complete=options.complete(discovery.TASKS))
@click.option("--data", type=options.UserPath(file_okay=False), required=True, help="Your copy; it is only read.")
@click.option("--size", type=click.Choice(["32", "64", "128"]), help="Pixels of a side.  [default: the dataset's, mostly 32]")
@click.option("--download", is_flag=True, help="Fetch the data into that folder first, where the publisher allows it.")
@click.option("--partial", is_flag=True, help="Go on without photos that cannot be used, however many they are.")
@options.workers
@options.as_json
def prepare(name: str, data: Path, size: str | None, download: bool, partial: bool, workers: int | None, as_json: bool) -> None:
    """Read a dataset's folder once; later commands need only its name. Repeat it to go on after an interruption."""
    from bench.engine.machine import default_workers
    from bench.progress import Bars
    from bench.tasks.datasets.dataset import Dataset
    from bench.tasks.datasets.preparation import Preparation
    from bench.tasks.datasets.preparation import prepare as read_folder
    from bench.tasks.variants import registered_task

    dataset = registered_task(name)
    if not isinstance(dataset, Dataset):
        raise BenchError(f"task {name} needs no data: `bench run --task {name}` works as it is")
    if download:
        dataset.download(data)
    with Bars() as progress:
        wanted = Preparation(dataset, data, int(size or dataset.size), partial, workers or default_workers("cpu"))
        prepared = read_folder(wanted, progress)
    _print_report(dataset, prepared, as_json=as_json)


@tasks.command()
@options.named_task
@options.as_json
def check(task: str, as_json: bool) -> None:
    """Say what should be known of a task's data: twins across splits, people on both sides, thin age groups, shift.

    Of a task with mistakes, what they are, a line each, with exit code 1.
    """
    import numpy as np

    from bench.tasks.data_quality import NO_TWIN, examine, find_twins
    from bench.tasks.validation import InvalidTaskError
    from bench.tasks.variants import load_task

    try:
        chosen = load_task(task)
    except InvalidTaskError as wrong:
        click.echo(json.dumps({"task": task, "problems": wrong.problems}, indent=1) if as_json else "\n".join(wrong.problems))
        raise click.exceptions.Exit(1) from None
    data = chosen.load()
    twin = find_twins(data.images) if data.twins is None else data.twins
    found = [*chosen.remarks, *examine(replace(data, twins=twin), chosen.groups)]
    twins = [np.flatnonzero(twin == number).tolist() for number in np.unique(twin[twin != NO_TWIN])]
    if as_json:
        click.echo(json.dumps({"task": chosen.name, "key": chosen.key, "remarks": found, "twins": twins}, indent=1))
        return
    for line in found or ["nothing to remark"]:
        click.echo(line)


@tasks.command()
@options.named_task
@options.device
@options.precision
@options.executor
@options.workers
@click.option("--models", type=click.IntRange(min=8), default=32, show_default=True, help="Models to train.")
def memorise(task: str, device: str, precision: str, executor: str, workers: int | None, models: int) -> None:
    """Measure which training photos models learn by heart, for --forget memorised:N; takes as long as so many references."""
    from bench.engine.executor import find_executor
    from bench.engine.machine import find_device
    from bench.engine.memorisation import measured
    from bench.engine.session import Session
    from bench.progress import Bars
    from bench.store.store import Store
    from bench.tasks import memorisation
    from bench.tasks.datasets.home import home
    from bench.tasks.variants import load_task

    chosen, found = load_task(task), find_device(device, precision)
    made = find_executor(executor)
    with (
        Bars() as progress,
        Session(Store(home()), chosen, found, made, workers=workers, progress=progress) as session,
    ):
        path = memorisation.write(chosen, measured(session, models))
    click.echo(f"wrote {path}; now --forget memorised:N and least-memorised:N are possible")


@tasks.command()
@options.named_task
@options.as_json
def show(task: str, as_json: bool) -> None:
    """Print a task's sizes, key and recipe."""
    from bench.tasks.variants import load_task

    _print_record(_describe(load_task(task)), as_json=as_json)


@tasks.command()
@options.named_task
@click.option("--out", type=options.UserPath(dir_okay=False), required=True, help="PNG file to write.")
def preview(task: str, out: Path) -> None:
    """Draw a contact sheet: a row per age group, some photos each."""
    from bench.tasks.variants import load_task

    data = load_task(task).load()
    try:
        _write_sheet(data, out)
    except (OSError, RuntimeError, ValueError) as problem:
        raise BenchError(f"cannot write {out}: {problem}") from problem
    click.echo(f"wrote {out}")


@tasks.command("export-rows")
@options.named_task
@click.option("--out", type=options.UserPath(dir_okay=False), default=Path("rows.npz"), show_default=True)
@click.option("--images", is_flag=True, help="Also all photos [n, 3, size, size], bytes, which the rows count.")
def export_rows(task: str, out: Path, images: bool) -> None:
    """Write which photos each split has, in the order in which `bench score-outputs` wants logits."""
    from bench.tasks.answers import Rows
    from bench.tasks.variants import load_task

    chosen = load_task(task)
    rows = Rows(chosen, chosen.load())
    rows.write(out, images=images)
    click.echo(f"wrote {out}: {', '.join(f'{name} {len(each)}' for name, each in rows.splits.items())}")


def _print_report(dataset: Dataset, prepared: Prepared, *, as_json: bool) -> None:
    """What was prepared: counts per split and age group, people, rejects with reasons, what should be known of them."""
    import numpy as np

    from bench.tasks.data_quality import examine
    from bench.tasks.datasets.prepared import task_of
    from bench.tasks.task import UNKNOWN

    task, record = task_of(dataset, prepared.size), prepared.record
    data = task.load()
    groups = np.bincount(data.labels, minlength=len(task.groups)).tolist()
    report = {
        **_describe(task),
        "images by group": dict(zip(task.groups, groups, strict=True)),
        "people": len(set(data.identities.tolist()) - {UNKNOWN}),
        "rejected": record.reasons,
        "for example": [f"{name}: {reason}" for name, reason in record.examples],
        "beside": record.aside,
        "remarks": [*task.remarks, *examine(data, task.groups)],
        "licence": dataset.licence,
        "folder": str(prepared.folder),
    }
    _print_record(report, as_json=as_json)
    if not as_json:
        click.echo(f"\nnext:  bench run --task {dataset.name} --plugin scrub")


def _print_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(record, indent=1))
        return
    for key, value in record.items():
        values = [f"{name} {each}" for name, each in value.items()] if isinstance(value, dict) else value
        lines = values if key in _LONG else [", ".join(values)] if isinstance(values, list) else [values]
        for number, line in enumerate(lines):
            click.echo(f"{'' if number else key:<16} {line}")


def _describe(task: Task) -> dict[str, Any]:
    data = task.load()
    return {
        "name": task.name,
        "key": task.key,
        "images": f"{len(data.images)} of {data.images.shape[2]}x{data.images.shape[3]} pixels",
        "splits": {split: len(rows) for split, rows in data.splits.items()},
        "groups": list(task.groups),
        "forget set": task.forget_set,
        "network": task.network,
        "recipe": asdict(task.recipe),
    }


def _write_sheet(data: TaskData, out: Path) -> None:
    import numpy as np
    from PIL import Image

    groups = np.unique(data.labels)
    rows = [np.flatnonzero(data.labels == group)[:SHEET_COLUMNS] for group in groups]
    sheet = np.concatenate([_strip(data.images[row]) for row in rows], axis=0)
    picture = Image.fromarray(sheet)
    picture.resize((picture.width * SHEET_SCALE, picture.height * SHEET_SCALE), Image.Resampling.NEAREST).save(out)


def _strip(images: Any) -> Any:
    import numpy as np

    padded = np.zeros((SHEET_COLUMNS, *images.shape[1:]), images.dtype)
    padded[: len(images)] = images
    return np.concatenate(list(padded.transpose(0, 2, 3, 1)), axis=1)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench tasks`."""
    cli.add_command(tasks)
