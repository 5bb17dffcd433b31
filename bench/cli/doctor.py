"""Look for what would make a run fail here: versions, devices, memory, disk, the store, plugins."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bench.checks import as_json as as_plain
from bench.cli import options
from bench.hookspecs import hookimpl


@click.command()
@options.store
@options.task
@options.as_json
def doctor(store: Path, task: str, as_json: bool) -> None:
    """Look for what would make a run fail; exit code 1 if there is something."""
    from bench.diagnosis import diagnose

    found = []
    for check in diagnose(store, task):
        found.append(check)
        for line in [] if as_json else check.lines():
            click.echo(line)
    if as_json:
        click.echo(json.dumps(as_plain(found), indent=1))
    if not all(check.well for check in found):
        raise click.exceptions.Exit(1)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench doctor`."""
    cli.add_command(doctor)
