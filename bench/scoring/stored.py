"""Runs of a store by name, and their scorecards brought up to date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.metrics.installed import installed_metrics
from bench.progress import Note, Progress
from bench.registry.paths import expanded
from bench.scoring.scorer import Scorer
from bench.store.runs import Run
from bench.store.store import Store


def find_runs(store: Store, names: Sequence[str], note: Note) -> list[Run]:
    """The runs of those names, or every complete run of a store; `note` is told of those that are damaged.

    Raises:
        BenchError: there is none of a name, or several, or a run named is not complete.
    """
    if not names:
        complete = [run for run in (_readable(folder, note) for folder in store.run_folders()) if run and run.record.complete]
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
    """The runs' folders of those names: of a run, of a method that was run once, beginnings of names, or paths of folders.

    Raises:
        BenchError: there is none of a name, or several.
    """
    return [_find_folder(store, name) for name in names]


def _find_folder(store: Store, name: str) -> Path:
    folders = list(store.run_folders())
    if len(Path(name).parts) > 1 or name.startswith(("/", "~")):  # a run of the same name in another store is another run
        there = [folder for folder in folders if folder.resolve() == expanded(name).resolve()]
        if not there:
            raise BenchError(f"{name} is no run of {store.path}; say with --store which store it is in")
        return there[0]
    wanted = Path(name).name  # without the slash that a shell adds to the name of a folder
    fitting = [folder for folder in folders if folder.name.startswith(wanted)]
    exact = [folder for folder in fitting if wanted in (folder.name, folder.name.rpartition("-")[0])]
    if len(exact or fitting) != 1:
        known = ", ".join(folder.name for folder in fitting or folders) or "nothing"
        raise BenchError(f"{'several runs begin' if fitting else 'no run begins'} with {name!r} in {store.path}; it has {known}")
    return (exact or fitting)[0]


def _readable(folder: Path, note: Note) -> Run | None:
    """A run; None, and a note, if its record is damaged."""
    try:
        return Run.read(folder)
    except BenchError as problem:
        note(str(problem))
        return None


def score_runs(
    store: Store,
    runs: Sequence[Run],
    progress: Progress,
    *,
    only: Sequence[str] = (),
    again: bool = False,
) -> list[BenchError]:
    """Compute what the scorecards of complete runs lack; returns why some could not be scored.

    A metric that cannot be loaded is told of, and costs its own numbers only.
    """
    installed, broken = installed_metrics()
    wanted = [item for item in installed if not only or item.name in only]
    problems: list[BenchError] = []
    scorers: dict[tuple[object, ...], Scorer] = {}
    for problem in broken:
        progress.note(f"bench: {problem}")
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
                advance = progress.stage(f"{run.folder.name}: scoring", len(missing))
                scorer.score(run, missing, lambda name, advance=advance: advance(1))  # type: ignore[misc]
        except BenchError as problem:  # the same of all runs if it is the reference's
            if str(problem) not in map(str, problems):
                problems.append(problem)
    return problems
