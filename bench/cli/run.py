"""Run methods against a task and print their scorecards."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.budget import Budget
from bench.cli import options, report
from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.models.devices import FLOAT32, precision_of
from bench.registry import discovery, specs

if TYPE_CHECKING:
    from bench.benchmark import Results
    from bench.registry.specs import Spec
    from bench.scoring.ranking import Place
    from bench.store.records import RunRecord


TO_PUBLISH = 64  # models


@click.command("run")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    help="Method: name, name[k=v,...], file.py, file.py:CLASS, file.py:FUNCTION or notebook.ipynb:FUNCTION. Repeatable.",
    shell_complete=options.complete(discovery.METHODS),
)
@click.option("--controls", is_flag=True, help="Also run the rows that a table needs to be read: original, retrain, finetune.")
@click.option("--all", "everything", is_flag=True, help="Run every installed method.")
@options.task
@click.option(
    "--models", type=int, default=16, show_default=True, help="Trials of each method, and retrained models to compare with."
)
@click.option("--budget", default="20%", show_default=True, help="Time per trial: a share of retraining time, or seconds (30s).")
@click.option("--budget-sweep", help="Several budgets in place of one: 5%,10%,20%,40%.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root of all randomness of the run.")
@options.store
@options.reference
@options.device
@options.precision
@options.executor
@options.workers
@options.memory_limit
@click.option(
    "--batch-format",
    type=click.Choice(["tuple", "dict"]),
    help="What a function's loaders yield: (images, labels) alone, or dicts alone.  [default: what can be read as either]",
)
@click.option(
    "--pixel-scale",
    type=click.FloatRange(min=0, min_open=True),
    metavar="NUMBER",
    help="What white is in a function's images, and to its network: 255 as in the challenge.  [default: 1]",
)
@click.option("--again", is_flag=True, help="Run once more even if the store has this run.")
@options.as_json
def run_methods(
    plugins: tuple[str, ...],
    controls: bool,
    everything: bool,
    task: str,
    models: int,
    budget: str,
    budget_sweep: str | None,
    seed: int,
    store: Path,
    reference: str,
    device: str,
    precision: str,
    executor: str,
    workers: int | None,
    memory_limit: int | None,
    batch_format: str | None,
    pixel_scale: float | None,
    again: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Run each method N times, compare with N retrained models, print the result."""
    from bench.benchmark import Settings, run_quickly
    from bench.progress import Bars

    budgets = Budget.parse_sweep(budget_sweep) if budget_sweep else [Budget.parse(budget)]
    wanted = [specs.parse(text) for text in _wanted(plugins, controls=controls, everything=everything)]
    given = {name: value for name, value in (("batch_format", batch_format), ("pixel_scale", pixel_scale)) if value}
    wanted = [_with_options(spec, given) for spec in wanted]
    limits = workers, memory_limit, again, reference, precision
    settings = Settings(task, models, tuple(budgets), seed, store, device, executor, *limits)
    with Bars() as bars:
        results = run_quickly(wanted, settings, bars)
    if not as_json:
        _print_tables(results)
    with Bars() as bars:
        results.score(bars)
    _report(results, task, as_json=as_json)


def _wanted(plugins: Sequence[str], *, controls: bool, everything: bool) -> list[str]:
    """What was asked for, each once."""
    from bench.benchmark import CONTROLS

    installed = [plugin.name for plugin in discovery.plugins(discovery.METHODS)] if everything else []
    wanted = list(dict.fromkeys([*plugins, *(CONTROLS if controls else []), *installed]))
    if not wanted:
        raise BenchError("name a method with --plugin (`bench plugins` lists them), or use --controls or --all")
    return wanted


def _with_options(spec: Spec, given: Mapping[str, object]) -> Spec:
    """Functions have these hyper-parameters; methods from packages, such as control rows, are left as they are."""
    is_file = bool(given) and discovery.find_method(spec.plugin).distribution == ""
    return replace(spec, parameters={**spec.parameters, **given}) if is_file else spec


def _divisions(results: Results) -> list[list[Place]]:
    """The divisions of this command's runs, with the runs that it made and the control rows."""
    from bench.benchmark import CONTROLS
    from bench.scoring.divisions import divisions
    from bench.scoring.ranking import places
    from bench.scoring.rows import rows

    ours = {done.folder.name for done in results.runs}
    found = [
        places(division) for division in divisions(rows(results.store)[0]) if any(item.folder.name in ours for item in division)
    ]
    return [
        [place for place in division if place.row.folder.name in ours or place.row.record.method.spec in CONTROLS]
        for division in found
    ]


def _print_tables(results: Results) -> None:
    """What is known before the slower metrics are computed."""
    from bench.cli.show import division_table, heading
    from bench.scoring.ceilings import ceiling

    for division in _divisions(results):
        click.echo(f"\n{heading(division[0].row.record)}\n")
        division_table(division, ceiling([place.row for place in division]))


def _report(results: Results, task: str, *, as_json: bool) -> None:
    """Print what attackers see, or everything as JSON; end with exit code 2 if a plugin has no score."""
    from bench.cli.show import evidence_table
    from bench.scoring.ceilings import ceiling
    from bench.scoring.ranking import as_json as place_json
    from bench.scoring.rows import rows
    from bench.store.runs import Run

    debug = bool(click.get_current_context().obj)
    told = [str(problem) for problem in results.problems]
    for problem in rows(results.store)[1]:
        if not any(str(problem) in each for each in told):
            report.problem(problem, debug=debug)
    divisions = _divisions(results)
    ours = {done.folder.name for done in results.runs}
    if as_json:
        tops = [(division, ceiling([place.row for place in division])) for division in divisions]
        found = {place.row.folder.name: place_json(place, top) for division, top in tops for place in division}
        click.echo(json.dumps([found[done.folder.name] for done in results.runs if done.folder.name in found], indent=1))
    else:
        for division in divisions:
            click.echo("\nwhat attackers see:")
            evidence_table(division)
        if divisions:
            _print_next_steps(results, task, divisions)
    for problem in results.problems:
        report.problem(problem, debug=debug)
    failed = [place.row for division in divisions for place in division if place.row.folder.name in ours and place.row.failure]
    for item in failed:
        log = Run(item.folder, item.record).log
        hint = f"; its log is {log}" if log.exists() else ""
        click.echo(f"bench: {item.label} has no score: {item.failure}{hint}", err=True)
    if results.problems or failed:
        raise click.exceptions.Exit(2)


def _print_next_steps(results: Results, task: str, divisions: Sequence[Sequence[Place]]) -> None:
    from bench.benchmark import CONTROLS
    from bench.scoring.rows import SCREENING
    from bench.store import DEFAULT

    click.echo(f"\nfiles: {', '.join(str(done.folder) for done in results.runs)}")
    absent = set(CONTROLS) - {place.row.record.method.name for place in divisions[0]}
    where = options.as_typed(store=(str(results.store.path), DEFAULT))
    record = divisions[0][0].row.record
    named = task if ".py" in task.partition("[")[0] else record.task.name  # a file is found by its path only
    precision = precision_of(record.device.kind), FLOAT32
    same = options.as_typed(task=(named, "age-synthetic"), budget=(record.budget, "20%"), precision=precision) + where
    if absent:
        models = options.as_typed(models=(record.models, 16))
        click.echo(f"next:  bench run --controls{models}{same}    (rows that a table needs to be read)")
    else:
        click.echo(f"next:  bench leaderboard build{where} --out site")
    again = [done.record for done in results.runs if done.record.complete and not done.record.method.control]
    if again and record.models < SCREENING:
        plugins = "".join(f" --plugin {shlex.quote(spec)}" for spec in dict.fromkeys(each.method.spec for each in again))
        told = f"enough to publish: its trials take about {sum(map(_seconds_to_publish, again)):.0f} s here"
        click.echo(f"       bench run{plugins} --models {TO_PUBLISH}{same}    ({told})")


def _seconds_to_publish(record: RunRecord) -> float:
    """How long the trials of so many models would take on as many workers as there are by default."""
    from bench.engine.machine import default_workers

    workers = 1 if record.method.uses_clock else default_workers(record.device.kind)
    return sum(chunk.wall_seconds for chunk in record.finished_chunks) * TO_PUBLISH / record.models / workers


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench run`."""
    cli.add_command(run_methods)
