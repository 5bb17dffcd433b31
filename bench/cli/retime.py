"""Time trials of runs again, on a machine that is quieter than it was."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli import options
from bench.hookspecs import hookimpl

TIMED = ("runtime", "timed-trials")  # metrics that look at times


@click.command("time")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@options.store
@options.executor
@options.memory_limit
def time_runs(runs: tuple[str, ...], store: Path, executor: str, memory_limit: int | None) -> None:
    """Time trials of runs again (a folder's name or its beginning), of rows that were timed on a busy machine say."""
    from bench.cli.show import scorecard_table
    from bench.engine.neighbours import Neighbours
    from bench.engine.rerun import session_of, time_again
    from bench.progress import Bars
    from bench.scoring.rows import row
    from bench.scoring.stored import find_runs, score_runs
    from bench.store.runs import Run
    from bench.store.store import Store

    opened, neighbours = Store(store), Neighbours()
    for run in find_runs(opened, runs, lambda text: None):
        with Bars() as bars:
            with session_of(opened, run.record, executor, memory_limit=memory_limit, progress=bars) as session:
                if warning := neighbours.warning():
                    bars.note(warning)
                time_again(session, run.record)
            timed = Run.read(run.folder)
            score_runs(opened, [timed], bars, only=TIMED, again=True)
        shown = row(timed)
        click.echo(f"\n{run.folder.name}: {shown.failure or ', '.join(shown.badges) or 'no flags'}\n")
        if shown.scorecard:
            scorecard_table(shown.scorecard.only(TIMED))


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench time`."""
    cli.add_command(time_runs)
