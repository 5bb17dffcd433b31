"""List methods: name, package, version and what they do."""

from __future__ import annotations

import json

import click

from bench import registry
from bench.cli import options
from bench.hookspecs import hookimpl


@click.command()
@options.as_json
def plugins(as_json: bool) -> None:
    """List the installed methods, without importing any."""
    found = list(registry.summaries(registry.METHODS))
    if as_json:
        rows = [
            {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version, "summary": summary}
            for plugin, summary in found
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    widths = [max(len(getattr(plugin, field)) for plugin, _ in found) for field in ("name", "distribution", "version")]
    for plugin, summary in found:
        cells = zip((plugin.name, plugin.distribution, plugin.version), widths, strict=True)
        click.echo("  ".join([*(cell.ljust(width) for cell, width in cells), summary]))


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench plugins`."""
    cli.add_command(plugins)
