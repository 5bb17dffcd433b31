"""Score models that were unlearned elsewhere: untimed, marked self-reported, never ranked among timed rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.budget import Budget
from bench.cli import options, report
from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.registry import discovery

if TYPE_CHECKING:
    from bench.engine.session import Session
    from bench.outputs import Outputs
    from bench.store.runs import Run
    from bench.store.store import Store
    from bench.tasks.answers import Rows

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # part of a folder's name, on any board


@click.command("score-outputs")
@click.argument("files", nargs=-1, required=True, type=options.UserPath(exists=True, dir_okay=False), metavar="FILES...")
@click.option("--name", help="What the row is called.  [default: the first file's name]")
@options.task
@click.option(
    "--budget", default="20%", show_default=True, help="Beside the rows of which budget it is shown, as for `bench run`."
)
@options.store
@options.reference
@options.device
@options.precision
@options.executor
@options.workers
@options.as_json
def score_outputs(
    files: tuple[Path, ...],
    name: str | None,
    task: str,
    budget: str,
    store: Path,
    reference: str,
    device: str,
    precision: str,
    executor: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Score N models that were unlearned elsewhere: one npz of logits, or a checkpoint of weights for each.

    An npz has logits [N, examples, classes] by split, in the order that `bench tasks export-rows` writes.
    """
    from bench.engine import elsewhere
    from bench.engine.executor import find_executor
    from bench.engine.machine import find_device
    from bench.engine.session import Session
    from bench.progress import Bars
    from bench.scoring.stored import score_runs
    from bench.store import SHIPPED
    from bench.store.runs import Run
    from bench.store.store import Store
    from bench.tasks.answers import Rows
    from bench.tasks.variants import load_task

    called, beside, opened = _name(name, files[0]), Budget.parse(budget), Store(store)
    _check_kinds(files)
    chosen = load_task(task)
    rows, shipped = Rows(chosen, chosen.load()), reference == SHIPPED
    logits = _read(files[0], rows) if _has_logits(files[0]) else None
    opened.prepare()
    found, made = find_device(device, precision), find_executor(executor)
    with Bars() as bars, Session(opened, chosen, found, made, workers=workers, progress=bars, shipped=shipped) as session:
        outputs = _evaluated(session, files) if logits is None else logits
        run = Run.read(opened.runs / elsewhere.keep(session, called, _source(files), outputs, beside))
        problems = score_runs(opened, [run], bars)
    for problem in problems:
        report.problem(problem, debug=bool(click.get_current_context().obj))
    _show(opened, run, as_json=as_json)
    if problems:
        raise click.exceptions.Exit(2)


def _name(asked: str | None, file: Path) -> str:
    """What a row may be called; rows of methods that are installed have names of their own."""
    name = _default_name(file) if asked is None else asked
    if not NAME.fullmatch(name):
        raise BenchError(f"{name!r} cannot be a row's name: choose one of letters, digits, '_', '.' and '-' with --name")
    if any(plugin.name == name for plugin in discovery.plugins(discovery.METHODS)):
        raise BenchError(f"{name} is the name of an installed method; choose another for your row with --name")
    return name


def _default_name(file: Path) -> str:
    """The file's, as far as it can be a row's; without the number that a checkpoint has."""
    stem = file.stem if _has_logits(file) else re.sub(r"[-_.]*\d+$", "", file.stem)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.")


def _has_logits(file: Path) -> bool:
    return file.suffix.lower() == ".npz"


def _check_kinds(files: Sequence[Path]) -> None:
    from bench.scoring.scorer import FEWEST_MODELS

    archives = [file for file in files if file.suffix.lower() == ".zip"]
    if archives:
        raise BenchError(f"{archives[0]} is an archive: unzip it, and name the checkpoints that are in it")
    logits = [file for file in files if _has_logits(file)]
    if logits:
        if len(files) > 1:
            raise BenchError(f"one npz has the logits of all models: name {logits[0]} alone")
    elif len(files) < FEWEST_MODELS:
        _refuse_few(len(files))
    elif len({file.resolve() for file in files}) < len(files):
        raise BenchError("a checkpoint is named twice: each stands for one model")


def _refuse_few(models: int) -> None:
    from bench.scoring.scorer import FEWEST_MODELS

    raise BenchError(
        f"{models} model{'s are' if models > 1 else ' is'} too few to compare distributions: unlearn {FEWEST_MODELS} times"
        f" or more, with other seeds each time, and give all {FEWEST_MODELS} or more together"
    )


def _read(file: Path, rows: Rows) -> Outputs:
    """Logits of a file; what it lacks is told of."""
    from bench.outputs import OUTPUT_SPLITS
    from bench.scoring.scorer import FEWEST_MODELS, check_models

    outputs, said = rows.read(file)
    if len(outputs) < FEWEST_MODELS:
        _refuse_few(len(outputs))
    check_models(len(outputs))
    if not said:
        report.note(f"{file} does not repeat the `rows` of `bench tasks export-rows`: that the order is right is taken on trust")
    absent = [name for name in OUTPUT_SPLITS if name not in outputs.logits] + ["retain"] * (outputs.on_retain is None)
    if absent:
        report.note(f"{file} has no {', '.join(absent)}: metrics that need it say so")
    return outputs


def _evaluated(session: Session, files: Sequence[Path]) -> Outputs:
    """What the models of checkpoints answer."""
    from bench.engine import elsewhere
    from bench.registry.networks import blueprint_of
    from bench.tasks.checkpoints import read_weights, stacked

    task, size = session.task, session.stack_size
    template = blueprint_of(task.network, task.own_network, len(task.groups), task.size).build()
    weights = [read_weights(file, template) for file in files]
    return elsewhere.evaluated(session, [stacked(weights[start : start + size]) for start in range(0, len(weights), size)])


def _source(files: Sequence[Path]) -> str:
    """SHA-256 of all files, in their order."""
    from bench.tasks.answers import content_of

    return hashlib.sha256("".join(hashlib.sha256(content_of(file)).hexdigest() for file in files).encode()).hexdigest()


def _show(store: Store, run: Run, *, as_json: bool) -> None:
    """The row, beside control rows if the store has them."""
    from bench.benchmark import CONTROLS
    from bench.cli.show import division_table, evidence_table, heading, notes
    from bench.scoring.ceilings import ceiling
    from bench.scoring.divisions import divisions
    from bench.scoring.ranking import as_json as place_json
    from bench.scoring.ranking import places
    from bench.scoring.rows import rows
    from bench.store import DEFAULT

    (division,) = (each for each in divisions(rows(store)[0]) if any(item.folder == run.folder for item in each))
    top = ceiling(division)
    shown = [place for place in places(division) if place.row.folder == run.folder or place.row.record.method.name in CONTROLS]
    (own,) = (place for place in shown if place.row.folder == run.folder)
    if as_json:
        click.echo(json.dumps(place_json(own, top), indent=1))
        return
    click.echo(f"\n{heading(run.record)}\n")
    division_table(shown, top)
    click.echo("\nwhat attackers see:")
    evidence_table(shown)
    if own.row.scorecard:
        notes(own.row.scorecard)
    where = options.as_typed(store=(str(store.path), DEFAULT))
    click.echo(f"\nfiles: {run.folder}\nnext:  bench score {run.folder.name}{where}    (every number)")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench score-outputs`."""
    cli.add_command(score_outputs)
