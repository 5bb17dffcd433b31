"""Write what others can use: a submission to the challenge, a run for somebody's board, a reference."""

from __future__ import annotations

from pathlib import Path

import click

from bench.budget import Budget
from bench.cli import options
from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.models.devices import CPU, is_cpu, precision_of
from bench.registry import discovery, specs


@click.group()
def export() -> None:
    """Write what others can use: a method, a run, a reference."""


@export.command()
@click.option(
    "--plugin", "text", required=True, help="Method, as for `bench run`.", shell_complete=options.complete(discovery.METHODS)
)
@click.option("--out", type=options.UserPath(file_okay=False), required=True, help="Folder to write submission.py into.")
@click.option("--checkpoints", type=click.IntRange(min=1), metavar="N", help="Also unlearn N times and zip the models.")
@click.option("--budget", default="20%", show_default=True, help="Time per trial, as for `bench run`.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root of all randomness of the trials.")
@options.task
@options.store
@options.device
@options.precision
@options.executor
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
    precision: str,
    executor: str,
    workers: int | None,
    memory_limit: int | None,
) -> None:
    """Write a method as a stand-alone script in the signature of the NeurIPS 2023 challenge."""
    from bench.export.script import challenge_script

    spec = specs.parse(text)
    plugin = discovery.find_method(spec.plugin)
    script = challenge_script(plugin, spec)
    out.mkdir(parents=True, exist_ok=True)
    (out / "submission.py").write_text(script, encoding="utf-8")
    click.echo(f"wrote {out / 'submission.py'}")
    if checkpoints is None:
        return

    from bench.engine.checkpoints import unlearned_weights
    from bench.engine.executor import find_executor
    from bench.engine.machine import find_device
    from bench.engine.requests import Request, describe
    from bench.engine.session import Session
    from bench.export.checkpoints import write_checkpoints
    from bench.progress import Bars
    from bench.registry.networks import blueprint_of
    from bench.store.store import Store
    from bench.tasks.variants import load_task

    opened = Store(store)
    opened.prepare()
    request, chosen = Request(plugin, spec, checkpoints, Budget.parse(budget), seed), load_task(task)
    found, made = find_device(device, precision), find_executor(executor)
    with (
        Bars() as progress,
        Session(opened, chosen, found, made, workers=workers, progress=progress, memory_limit=memory_limit) as session,
    ):
        unlearned = unlearned_weights(session, request, describe(session, request))
        made_by = blueprint_of(chosen.network, chosen.own_network, len(chosen.groups), chosen.size)
        write_checkpoints(unlearned, made_by, out / "submission.zip")
    click.echo(f"wrote {out / 'submission.zip'}")


@export.command("run")
@click.argument("run")
@click.option("--out", type=options.UserPath(dir_okay=False), help="File to write.  [default: RUN.zip]")
@options.store
def send_run(run: str, out: Path | None, store: Path) -> None:
    """Write a run with outputs and scorecard into one file, to send to the keeper of a leaderboard."""
    from bench.scoring.stored import find_folders
    from bench.store.exchange import export_run
    from bench.store.runs import Run
    from bench.store.store import Store

    (folder,) = find_folders(Store(store), [run])
    target = out or Path(f"{folder.name}.zip")
    export_run(Run.read(folder), target)
    click.echo(f"wrote {target}")


@export.command("reference")
@options.task
@options.store
@options.device
@options.precision
@click.option("--out", type=options.UserPath(dir_okay=False), default=Path("reference.zip"), show_default=True)
def send_reference(task: str, store: Path, device: str, precision: str, out: Path) -> None:
    """Write a reference into one file: who adds it to a store is ranked in the same division."""
    from bench.store.exchange import export_reference
    from bench.store.references import Reference
    from bench.store.store import Store
    from bench.tasks.variants import load_task

    found = [Reference(folder) for folder in Store(store).reference_folders(load_task(task).key)]
    kinds = [(each, each.record.device or each.folder.name) for each in found]
    asked = [(each, kind) for each, kind in kinds if device == "auto" or is_cpu(kind) == (device == CPU)]
    fits = [each for each, kind in asked if precision_of(kind) == precision]
    if not fits:
        known = " and ".join(f"'{kind}'" for _, kind in kinds)
        remedy = f"choose that of {known} with --device and --precision" if known else "`bench reference build` makes one"
        raise BenchError(f"no such reference of {task} in {store}; {remedy}")
    if len(fits) > 1:
        raise BenchError(f"{store} has references of {task} on {len(fits)} devices; choose one with --device")
    export_reference(fits[0], out)
    click.echo(f"wrote {out}")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench export`."""
    cli.add_command(export)
