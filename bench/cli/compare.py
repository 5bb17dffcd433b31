"""Tell two runs apart, or rank a division with the ties that it has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.budget import Budget
from bench.cli import options, report
from bench.errors import BenchError
from bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from bench.store.records import RunRecord
    from bench.store.store import Store


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN RUN]")
@options.store
@click.option("--task", help="Only divisions of this task.")
@click.option("--models", type=int, help="Only divisions with this many models.")
@click.option("--budget", help="Only divisions with this budget.")
@options.as_json
def compare(runs: tuple[str, ...], store: Path, task: str | None, models: int | None, budget: str | None, as_json: bool) -> None:
    """Two runs: can they be told apart? No run: rank every division, or those that the options choose."""
    from bench.store.store import Store

    opened = Store(store)
    if len(runs) not in (0, 2):
        raise BenchError(f"name two runs to compare, or none to rank divisions; not {len(runs)}")
    if runs and (task, models, budget) != (None, None, None):
        raise BenchError("two runs are compared as they are; --task, --models and --budget choose divisions to rank")
    if runs:
        _compare_two(opened, runs, as_json=as_json)
    else:
        _rank(opened, Wanted(task, models, str(Budget.parse(budget)) if budget else None), as_json=as_json)


def _compare_two(store: Store, names: Sequence[str], *, as_json: bool) -> None:
    from bench.progress import Bars
    from bench.scoring.comparison import compare_runs
    from bench.scoring.stored import find_runs

    runs = find_runs(store, names, report.note)
    with Bars() as bars:
        found = compare_runs(store, runs, bars)
    if as_json:
        answer = {
            "runs": [item.folder.name for item in found.rows],
            "final_scores": list(found.scores),
            "difference": found.difference,
            "p_value": found.p_value,
            "distinguishable": found.distinguishable,
        }
        click.echo(json.dumps(answer, indent=1))
        return
    for item, score in zip(found.rows, found.scores, strict=True):
        measure = item.measure("final_score")
        low, high = (measure.interval if measure else None) or (float("nan"), float("nan"))
        click.echo(f"{item.folder.name}: final score {score:.4f} ({low:.4f} to {high:.4f})")
    verdict = f"{found.better.folder.name} is better" if found.distinguishable else "indistinguishable at 5 %"
    said = f"p = {found.p_value:.3f} (trials exchanged within each index)"
    click.echo(f"difference {found.difference:+.4f}, {said}: {verdict}")


@dataclass(frozen=True)
class Wanted:
    """Which divisions to rank; None: any."""

    task: str | None
    models: int | None
    budget: str | None

    def fits(self, record: RunRecord) -> bool:
        """Whether a run is of such a division."""
        pairs = ((self.task, record.task.name), (self.models, record.models), (self.budget, record.budget))
        return all(wanted in (None, found) for wanted, found in pairs)


def _rank(store: Store, wanted: Wanted, *, as_json: bool) -> None:
    from bench.cli.show import division_table, heading
    from bench.scoring.ranking import as_json as place_json
    from bench.scoring.ranking import ceiling, divisions, places
    from bench.scoring.rows import rows

    found, problems = rows(store)
    for problem in problems:
        report.problem(problem, debug=bool(click.get_current_context().obj))
    chosen = [division for division in divisions(found) if wanted.fits(division[0].record)]
    if not chosen:
        has = sorted({heading(division[0].record) for division in divisions(found)})
        raise BenchError(f"no division of {store.path} fits; it has {'; '.join(has) or 'no runs'}")
    tables = [(places(division), ceiling(division)) for division in chosen]
    if as_json:
        click.echo(json.dumps([[place_json(place, top) for place in table] for table, top in tables], indent=1))
        return
    for table, top in tables:
        click.echo(f"\n{heading(table[0].row.record)}\n")
        division_table(table, top)
    click.echo("\nRanks such as 1-3 are ties: differences within them are not significant at 5 % after Holm's correction.")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench compare`."""
    cli.add_command(compare)
