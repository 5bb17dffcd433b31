"""List tasks, show one, draw its faces."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import registry
from bench.cli import options
from bench.errors import BenchError
from bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from bench.tasks.task import Faces, Task

SHEET_COLUMNS, SHEET_SCALE = 15, 2


@click.group(invoke_without_command=True)
@click.pass_context
def tasks(context: click.Context) -> None:
    """List the installed tasks."""
    if context.invoked_subcommand is None:
        for plugin, summary in registry.summaries(registry.TASKS):
            click.echo(f"{plugin.name}  {plugin.distribution}  {plugin.version}  {summary}")


@tasks.command()
@click.argument("name", shell_complete=options.complete(registry.TASKS))
@options.as_json
def show(name: str, as_json: bool) -> None:
    """Print a task's sizes, key and recipe."""
    record = _describe(registry.load_task(name))
    if as_json:
        click.echo(json.dumps(record, indent=1))
        return
    for key, value in record.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        click.echo(f"{key:<12} {', '.join(shown) if isinstance(shown, list) else shown}")


@tasks.command()
@click.argument("name", shell_complete=options.complete(registry.TASKS))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="PNG file to write.")
def preview(name: str, out: Path) -> None:
    """Draw a contact sheet: a row per age group, some photos each."""
    faces = registry.load_task(name).load()
    try:
        _write_sheet(faces, out)
    except (OSError, RuntimeError, ValueError) as problem:
        raise BenchError(f"cannot write {out}: {problem}") from problem
    click.echo(f"wrote {out}")


def _describe(task: Task) -> dict[str, Any]:
    faces = task.load()
    return {
        "name": task.name,
        "key": task.key,
        "images": f"{len(faces.images)} of {faces.images.shape[2]}x{faces.images.shape[3]} pixels",
        "splits": {split: len(rows) for split, rows in faces.splits.items()},
        "groups": list(task.groups),
        "forget set": task.forget_set,
        "network": task.network,
        "recipe": asdict(task.recipe),
    }


def _write_sheet(faces: Faces, out: Path) -> None:
    import numpy as np
    from PIL import Image

    groups = np.unique(faces.labels)
    rows = [np.flatnonzero(faces.labels == group)[:SHEET_COLUMNS] for group in groups]
    sheet = np.concatenate([_strip(faces.images[row]) for row in rows], axis=0)
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
