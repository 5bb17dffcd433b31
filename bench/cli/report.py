"""How a command ends otherwise than it should: a mistake is one line, and with `--debug` where it comes from; so is a stop."""

from __future__ import annotations

import signal
import sys
import traceback
from typing import NoReturn


def problem(error: Exception, message: str = "", *, debug: bool) -> None:
    """Print an error's one line to standard error; if `debug`, its traceback first, and that of the process it happened in."""
    import click  # it takes a moment, in which somebody may stop the command

    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True)
        click.echo(getattr(error.__cause__, "traceback", ""), err=True)
    click.echo(f"bench: {' '.join((message or str(error)).split())}", err=True)


def note(text: str) -> None:
    """Print one line to standard error: something is not as it should be, and the command goes on."""
    import click

    click.echo(f"bench: {text}", err=True)


def stopped() -> NoReturn:
    """Say that somebody has interrupted the command, and end it; from now on nobody can."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("bench: stopped; what is finished is kept, the same command goes on from there", file=sys.stderr)
    sys.exit(130)
