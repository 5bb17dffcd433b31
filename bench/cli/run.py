"""Run methods against a task and print their scorecards."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.budget import Budget
from bench.cli import options, report
from bench.cli.score import score_runs
from bench.errors import BenchError, WorkerError
from bench.hookspecs import hookimpl
from bench.registry import discovery, specs

if TYPE_CHECKING:
    from bench.engine.requests import Request
    from bench.engine.session import Session
    from bench.engine.worker.answers import Description
    from bench.registry.specs import Spec
    from bench.scoring.ranking import Place
    from bench.store.references import Reference
    from bench.store.runs import Run
    from bench.store.store import Store

FLOOR = "original"  # costs nothing, so every table has it
CONTROL_ROWS = (FLOOR, "retrain", "finetune")


@dataclass(frozen=True)
class Results:
    """What a command's plugins came to: runs, and plugins that never got so far."""

    runs: Sequence[Run]
    problems: Sequence[BenchError]


@click.command()
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    help="Method: name, name[k=v,...], file.py, file.py:CLASS or file.py:FUNCTION. Repeatable.",
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
@options.device
@options.workers
@options.memory_limit
@click.option(
    "--batch-format",
    type=click.Choice(["tuple", "dict"]),
    help="What a function's loaders yield, if bench finds out wrongly: (images, labels), or dicts as the challenge's data.",
)
@click.option("--again", is_flag=True, help="Run once more even if the store has this run.")
@options.as_json
def run(
    plugins: tuple[str, ...],
    controls: bool,
    everything: bool,
    task: str,
    models: int,
    budget: str,
    budget_sweep: str | None,
    seed: int,
    store: Path,
    device: str,
    workers: int | None,
    memory_limit: int | None,
    batch_format: str | None,
    again: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Run each method N times, compare with N retrained models, print the result."""
    from bench.scoring.scorer import check_models
    from bench.tasks.variants import load_task

    check_models(models)
    budgets = Budget.parse_sweep(budget_sweep) if budget_sweep else [Budget.parse(budget)]
    wanted = [specs.parse(text) for text in _wanted(plugins, controls=controls, everything=everything)]
    if batch_format:
        wanted = [_with_batch_format(spec, batch_format) for spec in wanted]
    requests = [request for each in budgets for request in _requests(wanted, models, each, seed, again)]
    chosen = load_task(task)

    from bench.cli.show import TerminalProgress
    from bench.engine.machine import find_device
    from bench.engine.session import Session
    from bench.store.store import Store

    opened = Store(store)
    opened.prepare()
    found = find_device(device)
    with (
        TerminalProgress() as progress,
        Session(opened, chosen, found, workers=workers, progress=progress, memory_limit=memory_limit) as session,
    ):
        results = _run_all(session, opened, requests)
    if not as_json:
        _print_tables(results, opened)
    score_runs(opened, [done for done in results.runs if done.record.complete], progress=TerminalProgress)
    _report(results, opened, as_json=as_json)


def _wanted(plugins: Sequence[str], *, controls: bool, everything: bool) -> list[str]:
    """What was asked for, each once."""
    installed = [plugin.name for plugin in discovery.plugins(discovery.METHODS)] if everything else []
    wanted = list(dict.fromkeys([*plugins, *(CONTROL_ROWS if controls else []), *installed]))
    if not wanted:
        raise BenchError("name a method with --plugin (`bench plugins` lists them), or use --controls or --all")
    return wanted


def _with_batch_format(spec: Spec, batch_format: str) -> Spec:
    """Functions have the hyper-parameter; methods from packages, such as control rows, are left as they are."""
    is_file = discovery.find_method(spec.plugin).distribution == ""
    return replace(spec, parameters={**spec.parameters, "batch_format": batch_format}) if is_file else spec


def _requests(wanted: Sequence[Spec], models: int, budget: Budget, seed: int, again: bool) -> Iterator[Request]:
    from bench.engine.requests import Request

    for spec in wanted:
        yield Request(discovery.find_method(spec.plugin), spec, models, budget, seed, again)


def _run_all(session: Session, store: Store, requests: Sequence[Request]) -> Results:
    from bench.engine import references
    from bench.engine.requests import describe

    described, problems = _describe_all(session, requests)
    if not described:
        return Results([], problems)
    if FLOOR not in [request.plugin.name for request, _ in described]:
        plugin, spec = discovery.find_method(FLOOR), specs.Spec(FLOOR, {})
        floors = [replace(requests[0], plugin=plugin, spec=spec, budget=budget) for budget in _budgets(requests)]
        described += [(floor, describe(session, floors[0])) for floor in floors]
    reference = store.reference(session.task.key, session.device.kind, session.progress.note)
    references.build(session, reference, _needed(described))
    _prepare(session, reference, requests[0].models)
    runs = []
    for request, description in described:
        try:
            runs.append(_run_one(session, store, reference, request, description))
        except (BenchError, WorkerError) as problem:  # of this run: the others go on
            problems.append(BenchError(f"{request.spec}: {problem}"))
    return Results(runs, problems)


def _describe_all(session: Session, requests: Sequence[Request]) -> tuple[list[tuple[Request, Description]], list[BenchError]]:
    """Those that load, and why the others do not: one broken plugin must not stop the rest."""
    from bench.engine.requests import describe

    described, problems = [], []
    for request in requests:
        if request.budget != requests[0].budget:
            continue  # a method is the same at every budget
        try:
            description = describe(session, request)
        except BenchError as problem:
            problems.append(problem)
        else:
            same = [other for other in requests if other.spec == request.spec]
            described += [(other, description) for other in same]
    return described, problems


def _budgets(requests: Sequence[Request]) -> list[Budget]:
    return list(dict.fromkeys(request.budget for request in requests))


def _needed(described: Sequence[tuple[Request, Description]]) -> list[int]:
    indices = {index for request, _ in described for index in range(request.models)}
    indices.update(index for _, description in described for index in description.reference_models if index is not None)
    return sorted(indices)


def _prepare(session: Session, reference: Reference, models: int) -> None:
    """Compute before any trial what quick metrics say of the reference, so that the first table need not wait for it."""
    from bench.metrics.installed import installed_metrics
    from bench.scoring.scorer import Scorer

    scorer = Scorer(reference, models, reference.identifier(models))
    missing = [item for item in installed_metrics()[0] if item.metric.quick and not scorer.prepared(item)]
    if missing:
        advance = session.progress.stage("reference: scoring", len(missing))
        scorer.prepare(missing, lambda name: advance(1))


def _run_one(session: Session, store: Store, reference: Reference, request: Request, description: Description) -> Run:
    """Run a method, and compute what the first table shows: nobody should wait for the rest to see it."""
    from bench.engine.runs import complete_run
    from bench.metrics.installed import installed_metrics
    from bench.scoring.scorer import Scorer
    from bench.store.runs import Run

    done = Run.read(store.runs / complete_run(session, reference, request, description))
    if done.record.complete:
        scorer = Scorer(reference, request.models, done.record.reference_id)
        quick = [item for item in scorer.missing(done, installed_metrics()[0]) if item.metric.quick]
        if quick:
            advance = session.progress.stage(f"{request.plugin.name}: scoring", len(quick))
            scorer.score(done, quick, lambda name: advance(1))
    return done


def _divisions(results: Results, store: Store) -> list[list[Place]]:
    """The divisions of this command's runs, with the runs that it made and the control rows."""
    from bench.scoring.ranking import divisions, places
    from bench.scoring.rows import rows

    ours = {done.folder.name for done in results.runs}
    found = [places(division) for division in divisions(rows(store)[0]) if any(item.folder.name in ours for item in division)]
    return [
        [place for place in division if place.row.folder.name in ours or place.row.record.method.spec in CONTROL_ROWS]
        for division in found
    ]


def _print_tables(results: Results, store: Store) -> None:
    """What is known before the slower metrics are computed."""
    from bench.cli.show import division_table, heading
    from bench.scoring.ranking import ceiling

    for division in _divisions(results, store):
        click.echo(f"\n{heading(division[0].row.record)}\n")
        division_table(division, ceiling([place.row for place in division]))


def _report(results: Results, store: Store, *, as_json: bool) -> None:
    """Print what attackers see, or everything as JSON; end with exit code 2 if a plugin has no score."""
    from bench.cli.show import evidence_table
    from bench.scoring.ranking import as_json as place_json
    from bench.scoring.ranking import ceiling
    from bench.scoring.rows import rows
    from bench.store.runs import Run

    debug = bool(click.get_current_context().obj)
    told = [str(problem) for problem in results.problems]
    for problem in rows(store)[1]:
        if not any(str(problem) in each for each in told):
            report.problem(problem, debug=debug)
    divisions = _divisions(results, store)
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
            _print_next_steps(results, divisions, store)
    for problem in results.problems:
        report.problem(problem, debug=debug)
    failed = [place.row for division in divisions for place in division if place.row.folder.name in ours and place.row.failure]
    for item in failed:
        log = Run(item.folder, item.record).log
        hint = f"; its log is {log}" if log.exists() else ""
        click.echo(f"bench: {item.label} has no score: {item.failure}{hint}", err=True)
    if results.problems or failed:
        raise click.exceptions.Exit(2)


def _print_next_steps(results: Results, divisions: Sequence[Sequence[Place]], store: Store) -> None:
    click.echo(f"\nfiles: {', '.join(str(done.folder) for done in results.runs)}")
    absent = set(CONTROL_ROWS) - {place.row.record.method.name for place in divisions[0]}
    where = _options(store=(str(store.path), "bench-results"))
    if absent:
        record = divisions[0][0].row.record
        same = _options(task=(record.task.name, "age-synthetic"), models=(record.models, 16), budget=(record.budget, "20%"))
        click.echo(f"next:  bench run --controls{same}{where}    (rows that a table needs to be read)")
    else:
        click.echo(f"next:  bench leaderboard build{where} --out site")


def _options(**values: tuple[object, object]) -> str:
    """Options whose value is not the default, as typed."""
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, (value, default) in values.items() if value != default)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench run`."""
    cli.add_command(run)
