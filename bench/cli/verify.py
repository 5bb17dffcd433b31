"""Check that a run is what it says: checksums, schema, scores that follow from outputs; with --rerun, its trials too."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import options
from bench.errors import BenchError, CheckResult
from bench.hookspecs import hookimpl
from bench.registry.paths import expanded

if TYPE_CHECKING:
    from bench.store.runs import Run
    from bench.store.store import Store


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--rerun", type=click.IntRange(min=1), metavar="K", help="Also repeat K trials (whole stacks) and compare.")
@options.store
@options.executor
@options.workers
@options.memory_limit
@options.as_json
def verify(
    runs: tuple[str, ...],
    rerun: int | None,
    store: Path,
    executor: str,
    workers: int | None,
    memory_limit: int | None,
    as_json: bool,
) -> None:
    """Check runs (a folder's name or its beginning, or a file of `bench export run`); exit code 1 if one is not what it says."""
    from bench.scoring.stored import find_folders
    from bench.scoring.verification import verify as verified
    from bench.store.store import Store

    opened = Store(store)
    found: dict[str, list[CheckResult]] = {}
    for path in [expanded(name) if expanded(name).is_file() else find_folders(opened, [name])[0] for name in runs]:
        with ExitStack() as stack:
            try:
                run = stack.enter_context(_read(path))
            except BenchError as problem:
                found[path.name] = [CheckResult("record", "", str(problem))]
                continue
            checks = list(verified(opened, run))
            if rerun and all(check.well for check in checks):
                checks += _rerun(opened, run, rerun, executor, workers, memory_limit)
            found[path.name] = checks
    _show(found, machine=as_json)
    if not all(check.well for checks in found.values() for check in checks):
        raise click.exceptions.Exit(1)


def _read(path: Path) -> AbstractContextManager[Run]:
    from bench.store.exchange import imported_run
    from bench.store.runs import Run

    return imported_run(path) if path.is_file() else nullcontext(Run.read(path))


def _rerun(
    store: Store, run: Run, trials: int, executor: str, workers: int | None, memory_limit: int | None
) -> list[CheckResult]:
    from bench.engine.rerun import CannotRepeatError, rerun, session_of
    from bench.progress import Bars

    record = run.record
    if record.method.control:
        return [CheckResult("rerun", "a control row stands for reference models; it has no trials")]
    if record.self_reported:
        return [CheckResult("rerun", "", "its models were unlearned elsewhere: there is no method here to repeat them with")]
    with Bars() as progress:
        try:
            session = session_of(store, record, executor, workers=workers, memory_limit=memory_limit, progress=progress)
        except CannotRepeatError as problem:
            return [CheckResult("rerun", "", problem.problem)]
        with session:
            stored = [run.chunk_outputs(chunk) for chunk in record.finished_chunks]
            return list(rerun(session, record, stored, trials))


def _show(found: dict[str, list[CheckResult]], *, machine: bool) -> None:
    if machine:
        click.echo(json.dumps({name: [check.plain() for check in checks] for name, checks in found.items()}, indent=1))
        return
    for name, checks in found.items():
        click.echo(name)
        for line in (line for check in checks for line in check.lines()):
            click.echo(f"  {line}")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench verify`."""
    cli.add_command(verify)
