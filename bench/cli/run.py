"""Run methods against a task and print their scorecards."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import registry, specs
from bench.budget import Budget, in_words
from bench.cli import options, report
from bench.errors import BenchError
from bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from bench.engine.runs import Description, Request
    from bench.engine.session import Session
    from bench.references import References
    from bench.results import Row

FEWEST_MODELS = 8
FLOOR = "original"  # costs nothing, so every table has it
CONTROL_ROWS = (FLOOR, "retrain", "finetune")


@dataclass(frozen=True)
class Outcome:
    """What a command's plugins came to: rows, and plugins that never got so far."""

    rows: Sequence[Row]
    problems: Sequence[BenchError]


@click.command()
@click.option("--plugin", "plugins", multiple=True, help="Method: name, name[k=v,...] or file.py. Repeatable.")
@click.option("--controls", is_flag=True, help="Also run the rows that a table needs to be read: original, retrain, finetune.")
@click.option("--all", "everything", is_flag=True, help="Run every installed method.")
@options.task
@click.option(
    "--models", type=int, default=16, show_default=True, help="Trials of each method, and retrained models to compare with."
)
@click.option("--budget", default="20%", show_default=True, help="Time per trial: a share of retraining time, or seconds (30s).")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root of all randomness of the run.")
@options.store
@options.device
@options.workers
@click.option("--again", is_flag=True, help="Run once more even if the store has this run.")
@options.as_json
def run(
    plugins: tuple[str, ...],
    controls: bool,
    everything: bool,
    task: str,
    models: int,
    budget: str,
    seed: int,
    store: Path,
    device: str,
    workers: int | None,
    again: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Run each method N times, compare with N retrained models, print the result."""
    if models < FEWEST_MODELS:
        raise BenchError(f"--models {models} is too few to compare distributions; use {FEWEST_MODELS} or more")
    requests = list(
        _requests(_wanted(plugins, controls=controls, everything=everything), models, Budget.parse(budget), seed, again)
    )
    chosen = registry.load_task(task)

    from bench.cli.show import TerminalProgress
    from bench.engine.session import Session, find_device
    from bench.store import Store

    opened = Store(store)
    opened.prepare()
    found = find_device(device)
    with TerminalProgress() as progress, Session(opened, chosen, found, workers=workers, progress=progress) as session:
        outcome = _run_all(session, requests)
    _report(outcome, opened, as_json=as_json)


def _wanted(plugins: Sequence[str], *, controls: bool, everything: bool) -> list[str]:
    """What was asked for, each once."""
    installed = [plugin.name for plugin in registry.plugins(registry.METHODS)] if everything else []
    wanted = list(dict.fromkeys([*plugins, *(CONTROL_ROWS if controls else []), *installed]))
    if not wanted:
        raise BenchError("name a method with --plugin (`bench plugins` lists them), or use --controls or --all")
    return wanted


def _requests(plugins: Sequence[str], models: int, budget: Budget, seed: int, again: bool) -> Iterator[Request]:
    from bench.engine.runs import Request

    for text in plugins:
        spec = specs.parse(text)
        yield Request(registry.find_method(spec.plugin), spec, models, budget, seed, again)


def _run_all(session: Session, requests: Sequence[Request]) -> Outcome:
    from bench.engine.runs import describe
    from bench.references import References

    described, problems = _describe_all(session, requests)
    if not described:
        return Outcome([], problems)
    floor = replace(requests[0], plugin=registry.find_method(FLOOR), spec=specs.Spec(FLOOR, {}))
    if FLOOR not in [request.plugin.name for request, _ in described]:
        described.append((floor, describe(session, floor)))
    references = References.of(session)
    references.build(session, _needed(described))
    rows = [_run_one(session, references, request, description) for request, description in described]
    return Outcome(rows, problems)


def _describe_all(session: Session, requests: Sequence[Request]) -> tuple[list[tuple[Request, Description]], list[BenchError]]:
    """Those that load, and why the others do not: one broken plugin must not stop the rest."""
    from bench.engine.runs import describe

    described, problems = [], []
    for request in requests:
        try:
            described.append((request, describe(session, request)))
        except BenchError as problem:
            problems.append(problem)
    return described, problems


def _needed(described: Sequence[tuple[Request, Description]]) -> list[int]:
    indices = {index for request, _ in described for index in range(request.models)}
    indices.update(index for _, description in described for index in description.reference_models if index is not None)
    return sorted(indices)


def _run_one(session: Session, references: References, request: Request, description: Description) -> Row:
    from bench.engine import runs
    from bench.results import finish

    done = runs.run(session, references, request, description)
    session.progress.stage(f"{request.plugin.name}: scoring", 1)
    return finish(done, references)


def _report(outcome: Outcome, store: Any, *, as_json: bool) -> None:
    """Print rows beside their divisions; end with exit code 2 if a plugin could not be run."""
    from bench.cli.show import division_table
    from bench.results import as_json as row_json
    from bench.results import ceiling, divisions, ranked, rows

    debug = bool(click.get_current_context().obj)
    found, damaged = rows(store)
    for problem in damaged:
        report.problem(problem, debug=debug)
    names = {item.folder.name for item in outcome.rows}
    ours = {item.folder.name: division for division in divisions(found) for item in division if item.folder.name in names}
    if as_json:
        click.echo(json.dumps([row_json(item, ceiling(ours[item.folder.name])) for item in outcome.rows], indent=1))
    else:
        for division in {id(division): division for division in ours.values()}.values():
            shown = [item for item in division if item.folder.name in ours or item.record["method"]["spec"] in CONTROL_ROWS]
            _print_heading(shown[0])
            division_table(ranked(shown), ceiling(division))
        _print_next_steps(outcome, ours, store)
    for problem in outcome.problems:
        report.problem(problem, debug=debug)
    for item in outcome.rows:
        if item.failure:
            click.echo(f"bench: {item.record['method']['spec']} has no score; its log is {item.folder / 'log.txt'}", err=True)
    if outcome.problems or any(item.failure for item in outcome.rows):
        raise click.exceptions.Exit(2)


def _print_heading(item: Row) -> None:
    record = item.record
    click.echo(
        f"\n{record['task']['name']}, {record['models']} models, {in_words(record['budget'])}"
        f" ({record['allowance_seconds']:.2f} s a trial), {record['device']['kind']}\n"
    )


def _print_next_steps(outcome: Outcome, ours: dict[str, list[Row]], store: Any) -> None:
    if not outcome.rows:
        return
    click.echo(f"\nfiles: {', '.join(str(item.folder) for item in outcome.rows)}")
    division = next(iter(ours.values()))
    present = {item.record["method"]["name"] for item in division}
    absent = set(CONTROL_ROWS) - present
    where = _options(store=(str(store.path), "bench-results"))
    if absent:
        record = division[0].record
        same = _options(
            task=(record["task"]["name"], "age-synthetic"), models=(record["models"], 16), budget=(record["budget"], "20%")
        )
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
