"""Shout a word."""

import click

from bench import hookimpl


@click.command()
@click.argument("word")
def shout(word):
    """Print a word in capitals."""
    click.echo(word.upper())


@hookimpl
def register_commands(cli):
    """Add `bench shout`."""
    cli.add_command(shout)
