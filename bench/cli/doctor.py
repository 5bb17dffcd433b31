"""Look for what would make a run fail here: versions, devices, memory, disk, the store, plugins."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import click

from bench.cli import options
from bench.hookspecs import hookimpl


@click.command()
@options.store
@options.task
@options.as_json
def doctor(store: Path, task: str, as_json: bool) -> None:
    """Look for what would make a run fail; exit code 1 if there is something."""
    from bench.engine.diagnosis import diagnose
    from bench.store.health import examine_store

    found = []
    for check in chain(diagnose(store, task), examine_store(store)):
        found.append(check)
        for line in [] if as_json else check.lines():
            click.echo(line)
    if as_json:
        click.echo(json.dumps([check.plain() for check in found], indent=1))
    if not all(check.well for check in found):
        raise click.exceptions.Exit(1)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench doctor`."""
    cli.add_command(doctor)
