"""Write what others can use: a submission to the challenge, a run for somebody's board, a reference."""

from __future__ import annotations

from pathlib import Path

import click

from bench import registry, specs
from bench.budget import Budget
from bench.cli import options
from bench.errors import BenchError
from bench.hookspecs import hookimpl


@click.group()
def export() -> None:
    """Write what others can use: a method, a run, a reference."""


@export.command()
@click.option(
    "--plugin", "text", required=True, help="Method, as for `bench run`.", shell_complete=options.complete(registry.METHODS)
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write submission.py into.")
@click.option("--checkpoints", type=click.IntRange(min=1), metavar="N", help="Also unlearn N times and zip the models.")
@click.option("--budget", default="20%", show_default=True, help="Time per trial, as for `bench run`.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root of all randomness of the trials.")
@options.task
@options.store
@options.device
@options.workers
@options.memory_limit
def challenge(
    text: str,
    out: Path,
    checkpoints: int | None,
    budget: str,
    seed: int,
    task: str,
    store: Path,
    device: str,
    workers: int | None,
    memory_limit: int | None,
) -> None:
    """Write a method as a stand-alone script in the signature of the NeurIPS 2023 challenge."""
    from bench.export.script import challenge_script

    spec = specs.parse(text)
    plugin = registry.find_method(spec.plugin)
    script = challenge_script(plugin, spec)
    out.mkdir(parents=True, exist_ok=True)
    (out / "submission.py").write_text(script, encoding="utf-8")
    click.echo(f"wrote {out / 'submission.py'}")
    if checkpoints is None:
        return

    from bench.cli.show import TerminalProgress
    from bench.engine.runs import Request, describe
    from bench.engine.session import Session, find_device
    from bench.export.checkpoints import write_checkpoints
    from bench.store import Store

    opened = Store(store)
    opened.prepare()
    request = Request(plugin, spec, checkpoints, Budget.parse(budget), seed)
    with (
        TerminalProgress() as progress,
        Session(
            opened, registry.load_task(task), find_device(device), workers=workers, progress=progress, memory_limit=memory_limit
        ) as session,
    ):
        write_checkpoints(session, request, describe(session, request), out / "submission.zip")
    click.echo(f"wrote {out / 'submission.zip'}")


@export.command()
@click.argument("run")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.  [default: RUN.zip]")
@options.store
def run(run: str, out: Path | None, store: Path) -> None:
    """Write a run with outputs and scorecard into one file, to send to the keeper of a leaderboard."""
    from bench.cli.score import find_folders
    from bench.engine.runs import Run
    from bench.export.files import export_run
    from bench.store import Store

    (folder,) = find_folders(Store(store), [run])
    target = out or Path(f"{folder.name}.zip")
    export_run(Run.read(folder), target)
    click.echo(f"wrote {target}")


@export.command()
@options.task
@options.store
@options.device
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("reference.zip"), show_default=True)
def reference(task: str, store: Path, device: str, out: Path) -> None:
    """Write a reference into one file: who adds it to a store is ranked in the same division."""
    from bench.engine.session import find_device
    from bench.export.files import export_reference
    from bench.references import References, folder_of
    from bench.store import Store

    folder = folder_of(Store(store).references, registry.load_task(task).key, find_device(device).kind)
    if not (folder / "reference.json").exists():
        raise BenchError(f"no reference of {task} in {store}; `bench reference build` makes one")
    export_reference(References(folder), out)
    click.echo(f"wrote {out}")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench export`."""
    cli.add_command(export)
