"""Build the leaderboard: a folder of static files."""

from __future__ import annotations

from pathlib import Path

import click

from bench import hookimpl
from bench.cli import options


@click.group()
def leaderboard() -> None:
    """Publish a store as a static site."""


@leaderboard.command()
@options.store
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("site"), show_default=True, help="Folder to write."
)
def build(store: Path, out: Path) -> None:
    """Write the site; index.html opens from file://."""
    from .site import build_site

    count = build_site(store, out)
    click.echo(f"wrote {out / 'index.html'} with {count} runs")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench leaderboard`."""
    cli.add_command(leaderboard)
