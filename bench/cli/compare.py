"""Tell two runs apart, or rank a division with the ties that it has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.budget import Budget
from bench.cli import options, report
from bench.errors import BenchError
from bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from bench.scoring.comparison import Comparison, Verdict
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
            **{name: _json(verdict) for name, verdict in _verdicts(found)},
        }
        click.echo(json.dumps(answer, indent=1))
        return
    for name, verdict in _verdicts(found):
        words, how = _TOLD[name]
        click.echo(words)
        for item, value in zip(found.rows, verdict.values, strict=True):
            measure = item.measure(name)
            low, high = (measure.interval if measure else None) or (float("nan"), float("nan"))
            click.echo(f"  {item.folder.name}: {value:.4f} ({low:.4f} to {high:.4f})")
        said = f"{found.better(verdict).folder.name} is better" if verdict.distinguishable else "indistinguishable at 5 %"
        click.echo(f"  difference {verdict.difference:+.4f}, p = {verdict.p_value:.3f} ({how}): {said}")


_TOLD = {
    "memory_left": ("memory left, nearer 0 is better", "over models and people"),
    "final_score": ("the challenge's final score, higher is better", "trials exchanged within each index"),
}


def _verdicts(found: Comparison) -> list[tuple[str, Verdict]]:
    """What the board ranks by first."""
    named = (("memory_left", found.memory_left), ("final_score", found.final_score))
    return [(name, verdict) for name, verdict in named if verdict]


def _json(found: Verdict) -> dict[str, Any]:
    return {
        "values": list(found.values),
        "difference": found.difference,
        "p_value": found.p_value,
        "distinguishable": found.distinguishable,
    }


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
    from bench.scoring.ceilings import ceiling
    from bench.scoring.divisions import divisions
    from bench.scoring.ranking import as_json as place_json
    from bench.scoring.ranking import places
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
    click.echo("\nRanks are by memory left. 1-3 is a tie: no difference within it is significant at 5 % after Holm's correction.")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench compare`."""
    cli.add_command(compare)
