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
from bench.cli.score import find_runs, score_runs
from bench.errors import BenchError
from bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from bench.scoring.rows import Row
    from bench.store.records import RunRecord
    from bench.store.runs import Run
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
        _compare_two(opened, find_runs(opened, runs), as_json=as_json)
    else:
        _rank(opened, Wanted(task, models, str(Budget.parse(budget)) if budget else None), as_json=as_json)


def _compare_two(store: Store, runs: Sequence[Run], *, as_json: bool) -> None:
    from bench.metrics.resampling import LEVEL
    from bench.scoring.ranking import differences

    reasons = differences(runs[0].record, runs[1].record)
    if reasons:
        raise BenchError(f"{runs[0].folder.name} and {runs[1].folder.name} are not of one division: {'; '.join(reasons)} differ")
    rows = _scored(store, runs)
    value = _exchange(store, runs)
    scores = [item.value("final_score") or 0.0 for item in rows]
    names = [item.folder.name for item in rows]
    answer: dict[str, Any] = {
        "runs": names,
        "final_scores": scores,
        "difference": scores[0] - scores[1],
        "p_value": value,
        "distinguishable": value < LEVEL,
    }
    if as_json:
        click.echo(json.dumps(answer, indent=1))
        return
    for item in rows:
        measure = item.measure("final_score")
        low, high = (measure.interval if measure else None) or (float("nan"), float("nan"))
        click.echo(f"{item.folder.name}: final score {item.value('final_score') or 0.0:.4f} ({low:.4f} to {high:.4f})")
    better = names[int(scores[1] > scores[0])]
    verdict = f"{better} is better" if value < LEVEL else "indistinguishable at 5 %"
    click.echo(f"difference {answer['difference']:+.4f}, p = {value:.3f} (trials exchanged within each index): {verdict}")


def _scored(store: Store, runs: Sequence[Run]) -> list[Row]:
    from bench.cli.show import TerminalProgress
    from bench.scoring.rows import row

    problems = score_runs(store, runs, only=("challenge",), progress=TerminalProgress)
    rows = [row(run) for run in runs]
    for item in rows:
        if item.value("final_score") is None:
            raise problems[0] if problems else BenchError(f"{item.folder.name} has no score: {item.failure}")
    return rows


def _exchange(store: Store, runs: Sequence[Run]) -> float:
    from bench.cli.show import TerminalProgress
    from bench.metrics.distinguishability import p_value
    from bench.metrics.exchange import EXCHANGES, exchanged_differences
    from bench.scoring.scorer import Scorer

    scorer = Scorer.of(store, runs[0])
    with TerminalProgress() as progress:
        advance = progress.stage("exchanging trials", 1 + EXCHANGES)
        one, other = (scorer.unlearned(run) for run in runs)
        return p_value(exchanged_differences(one, other, scorer.retrained, advance=lambda: advance(1)))


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
