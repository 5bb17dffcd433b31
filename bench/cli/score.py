"""Compute the scorecards of runs that are in the store, without training anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import options, report
from bench.hookspecs import hookimpl
from bench.registry import discovery

if TYPE_CHECKING:
    from bench.store.runs import Run
    from bench.store.store import Store


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@options.store
@click.option(
    "--metric", "metrics", multiple=True, help="Metric to compute, as listed by `bench metrics`; repeatable.  [default: all]"
)
@click.option("--again", is_flag=True, help="Compute also what the scorecards already have.")
@options.as_json
def score(runs: tuple[str, ...], store: Path, metrics: tuple[str, ...], again: bool, as_json: bool) -> None:
    """Compute what scorecards lack, of all complete runs or of those named (a folder's name or its beginning)."""
    from bench.progress import Bars
    from bench.scoring.stored import find_runs, score_runs
    from bench.store.store import Store

    opened = Store(store)
    for name in metrics:
        discovery.find(discovery.METRICS, name, "metric")
    chosen = find_runs(opened, runs, report.note)
    with Bars() as bars:
        problems = score_runs(opened, chosen, bars, only=metrics, again=again)
    _show(opened, chosen, named=bool(runs), as_json=as_json)
    debug = bool(click.get_current_context().obj)
    for problem in problems:
        report.problem(problem, debug=debug)
    if problems:
        raise click.exceptions.Exit(2)


def _show(store: Store, chosen: Sequence[Run], *, named: bool, as_json: bool) -> None:
    """The scorecards of runs that were named, the tables of a store otherwise."""
    from bench.cli.show import division_table, evidence_table, heading, scorecard_table
    from bench.scoring.ceilings import ceiling
    from bench.scoring.divisions import divisions
    from bench.scoring.ranking import as_json as place_json
    from bench.scoring.ranking import places
    from bench.scoring.rows import rows

    names = {run.folder.name for run in chosen}
    tables = [(places(division), ceiling(division)) for division in divisions(rows(store)[0])]
    if as_json:
        shown = [place_json(place, top) for table, top in tables for place in table if place.row.folder.name in names]
        click.echo(json.dumps(shown, indent=1))
        return
    for table, top in tables:
        if not named:
            click.echo(f"\n{heading(table[0].row.record)}\n")
            division_table(table, top)
            click.echo("\nwhat attackers see:")
            evidence_table(table)
        for place in table:
            if named and place.row.folder.name in names:
                click.echo(f"\n{place.row.folder.name}: {place.row.failure or ', '.join(place.row.badges) or 'no flags'}\n")
                if place.row.scorecard:
                    scorecard_table(place.row.scorecard)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench score`."""
    cli.add_command(score)
