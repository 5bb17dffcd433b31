"""How a mistake is shown: one line, and with `--debug` where it comes from."""

from __future__ import annotations

import traceback

import click


def problem(error: Exception, message: str = "", *, debug: bool) -> None:
    """Print an error's one line to standard error; if `debug`, its traceback first, and that of the process it happened in."""
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True)
        click.echo(getattr(error.__cause__, "traceback", ""), err=True)
    click.echo(f"bench: {' '.join((message or str(error)).split())}", err=True)


def note(text: str) -> None:
    """Print one line to standard error: something is not as it should be, and the command goes on."""
    click.echo(f"bench: {text}", err=True)
