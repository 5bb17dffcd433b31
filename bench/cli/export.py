"""Write what others can use without bench: a submission to the challenge."""

from __future__ import annotations

from pathlib import Path

import click

from bench import registry, specs
from bench.budget import Budget
from bench.cli import options
from bench.hookspecs import hookimpl


@click.group()
def export() -> None:
    """Write what others can use without bench."""


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


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench export`."""
    cli.add_command(export)
