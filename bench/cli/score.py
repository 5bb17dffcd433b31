"""Compute the scorecards of runs that are in the store, without training anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import options, report
from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.registry import discovery

if TYPE_CHECKING:
    from bench.progress import Progress
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
    from bench.cli.show import TerminalProgress
    from bench.store.store import Store

    opened = Store(store)
    for name in metrics:
        discovery.find(discovery.METRICS, name, "metric")
    chosen = find_runs(opened, runs)
    problems = score_runs(opened, chosen, only=metrics, again=again, progress=TerminalProgress)
    _show(opened, chosen, named=bool(runs), as_json=as_json)
    debug = bool(click.get_current_context().obj)
    for problem in problems:
        report.problem(problem, debug=debug)
    if problems:
        raise click.exceptions.Exit(2)


def find_runs(store: Store, names: Sequence[str]) -> list[Run]:
    """The runs of those names, or every complete run of a store.

    Raises:
        BenchError: there is none of a name, or several, or a run named is not complete.
    """
    from bench.store.runs import Run

    if not names:
        complete = [run for run in filter(None, map(_readable, store.run_folders())) if run.record.complete]
        if not complete:
            raise BenchError(
                f"store {store.path} has no complete run; make one with `bench run --plugin scrub --store {store.path}`"
            )
        return complete
    found = [Run.read(folder) for folder in find_folders(store, names)]
    for run in found:
        if not run.record.complete:
            raise BenchError(f"run {run.folder.name} is not complete; the command that made it resumes it")
    return found


def find_folders(store: Store, names: Sequence[str]) -> list[Path]:
    """The runs' folders of those names, or beginnings of names.

    Raises:
        BenchError: there is none of a name, or several.
    """
    folders, found = list(store.run_folders()), []
    for name in names:
        fitting = [folder for folder in folders if folder.name.startswith(Path(name).name)]
        exact = [folder for folder in fitting if folder.name == Path(name).name]
        if len(exact or fitting) != 1:
            known = ", ".join(folder.name for folder in fitting or folders) or "nothing"
            raise BenchError(
                f"{'several runs begin' if fitting else 'no run begins'} with {name!r} in {store.path}; it has {known}"
            )
        found.append((exact or fitting)[0])
    return found


def _readable(folder: Path) -> Run | None:
    """A run; None, and a line, if its record is damaged."""
    from bench.store.runs import Run

    try:
        return Run.read(folder)
    except BenchError as problem:
        report.problem(problem, debug=False)
        return None


def score_runs(
    store: Store,
    runs: Sequence[Run],
    *,
    progress: Callable[[], AbstractContextManager[Progress]],
    only: Sequence[str] = (),
    again: bool = False,
) -> list[BenchError]:
    """Compute what the scorecards of complete runs lack; returns why some could not be scored.

    A metric that cannot be loaded is told of, and costs its own numbers only.
    """
    from bench.metrics.installed import installed_metrics
    from bench.scoring.scorer import Scorer

    installed, broken = installed_metrics()
    wanted = [item for item in installed if not only or item.name in only]
    problems: list[BenchError] = []
    scorers: dict[tuple[object, ...], Scorer] = {}
    with progress() as bars:
        for problem in broken:
            bars.note(f"bench: {problem}")
        for run in runs:
            try:
                record = run.record
                compared = record.task.key, record.device.kind, record.models, record.reference_id
                scorer = scorers.get(compared) or Scorer.of(store, run)
                if again and compared not in scorers:
                    scorer.forget_baselines(wanted)
                scorers[compared] = scorer
                missing = wanted if again else scorer.missing(run, wanted)
                if missing:
                    advance = bars.stage(f"{run.folder.name}: scoring", len(missing))
                    scorer.score(run, missing, lambda name, advance=advance: advance(1))  # type: ignore[misc]
            except BenchError as problem:  # the same of all runs if it is the reference's
                if str(problem) not in map(str, problems):
                    problems.append(problem)
    return problems


def _show(store: Store, chosen: Sequence[Run], *, named: bool, as_json: bool) -> None:
    """The scorecards of runs that were named, the tables of a store otherwise."""
    from bench.cli.show import division_table, evidence_table, heading, scorecard_table
    from bench.scoring.ranking import as_json as place_json
    from bench.scoring.ranking import ceiling, divisions, places
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
