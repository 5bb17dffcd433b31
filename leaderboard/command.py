"""Build the leaderboard: a folder of static files."""

from __future__ import annotations

import gc
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from bench import hookimpl
from bench.cli import options
from bench.errors import BenchError

FILE = options.UserPath(exists=True, dir_okay=False)


@click.group()
def leaderboard() -> None:
    """Publish a store as a static site."""


@leaderboard.command()
@options.store
@click.option("--out", type=options.UserPath(file_okay=False), default=Path("site"), show_default=True, help="Folder to write.")
@click.option("--import", "imports", multiple=True, type=FILE, metavar="FILE...", help="Runs that others exported.")
@click.argument("more", nargs=-1, type=FILE, metavar="")
def build(store: Path, out: Path, imports: tuple[Path, ...], more: tuple[Path, ...]) -> None:
    """Write the site; index.html opens from file://.

    `--import submissions/*.zip` adds runs that others wrote with `bench export run`, once they are verified.
    """
    from .site import build_site

    gc.disable()  # what is read stays until the end: looking for garbage in it takes a third of the time of a second build
    built = build_site(store, out, (*imports, *more))
    click.echo(f"wrote {out / 'index.html'} with {built.runs} runs")
    if built.unscored:
        told = f"bench: {built.unscored} of them are complete and have no score; `bench score --store {store}` computes them"
        click.echo(told, err=True)


@leaderboard.command()
@click.option("--out", type=options.UserPath(file_okay=False), default=Path("site"), show_default=True, help="The site.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
def serve(out: Path, port: int) -> None:
    """Show a site in the browser of this machine, until Ctrl-C."""
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    if not (out / "index.html").exists():
        raise BenchError(f"there is no site in {out}; `bench leaderboard build --out {out}` makes one")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=str(out)))
    except OSError as problem:
        raise BenchError(f"port {port} cannot be used ({problem.strerror}); choose another with --port") from problem
    with server, suppress(KeyboardInterrupt):
        click.echo(f"http://127.0.0.1:{server.server_port}/  (Ctrl-C ends)")
        server.serve_forever()


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench leaderboard`."""
    cli.add_command(leaderboard)
