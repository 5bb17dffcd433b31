"""The benchmark in Python, which the commands call, too: run methods, load a store, compare.

    import bench
    results = bench.run("scrub", "my_method.py", models=16, budget="20%")
    results.frame()
    results["scrub"].scorecard

Results are rows of a store: whatever is run twice is computed once, and an interrupted call goes on where it stopped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from bench.budget import Budget
from bench.engine import references
from bench.engine.executor import find_executor
from bench.engine.machine import find_device
from bench.engine.neighbours import Neighbours
from bench.engine.requests import Request, describe
from bench.engine.runs import complete_run
from bench.engine.session import Session
from bench.engine.worker.forking import prepare_children
from bench.engine.worker.group import UNCOUNTED_REMEDY, uncounted
from bench.errors import BenchError, WorkerError
from bench.metrics.installed import installed_metrics
from bench.models.devices import FLOAT32, gpu_number, is_cpu, precision_named
from bench.progress import Bars, Progress
from bench.registry import discovery, specs
from bench.registry.paths import expanded
from bench.scoring.results import Board, Result, Results, load, unknown
from bench.scoring.scorer import Scorer, check_models
from bench.store import DEFAULT, REFERENCES, SHIPPED
from bench.store.references import Reference
from bench.store.runs import Run
from bench.store.store import Store
from bench.tasks.variants import load_task

if TYPE_CHECKING:
    from bench.engine.worker.answers import Description

__all__ = ["CONTROLS", "Board", "Result", "Results", "Settings", "load", "run", "run_quickly"]

ORIGINAL = "original"  # costs nothing, so every division has it
LIBRARIES = ("scipy.stats", "sklearn.model_selection")  # of metrics: imported while the children's server imports torch
CONTROLS = (ORIGINAL, "retrain", "finetune")  # rows that a table needs to be read

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Settings:
    """What is the same for all methods of a call."""

    task: str = "age-synthetic"
    models: int = 16
    budgets: tuple[Budget, ...] = (Budget(20.0, "%"),)
    seed: int = 0
    store: Path = Path(DEFAULT)
    device: str = "auto"
    executor: str = "local"
    workers: int | None = None
    memory_limit: int | None = None
    again: bool = False
    reference: str = SHIPPED
    precision: str = FLOAT32


def _suggesting(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """A misspelt option gets a suggestion instead of a traceback through the machinery."""
    signature = inspect.signature(function)
    names = [name for name, each in signature.parameters.items() if each.kind is not inspect.Parameter.VAR_POSITIONAL]

    @wraps(function)
    def called(*arguments: Given.args, **options: Given.kwargs) -> Returned:
        for name in options:
            if name not in names:
                raise unknown("option", name, names)
        return function(*arguments, **options)

    return called


@_suggesting
def run(
    *plugins: str | Path,
    task: str = "age-synthetic",
    models: int = 16,
    budget: str = "20%",
    seed: int = 0,
    store: str | Path = DEFAULT,
    controls: bool = False,
    device: str = "auto",
    executor: str = "local",
    workers: int | None = None,
    again: bool = False,
    reference: str = SHIPPED,
    precision: str = FLOAT32,
    progress: Progress | None = None,
) -> Results:
    """Run each method `models` times, compare with as many retrained models, and score; what the store has is not repeated.

    Args:
        plugins: methods: a name, `name[k=v]`, a file, or `file.py:CLASS`.
        task: as listed by `bench tasks`.
        models: trials of each method, and retrained models to compare with.
        budget: time of a trial: a share of retraining (`20%`) or seconds (`30s`).
        seed: root of all randomness.
        store: the folder of results.
        controls: also run the rows that a table needs to be read: original, retrain, finetune.
        device: `auto`, `cpu`, `cuda`, or `cuda:1` where there are several.
        executor: where jobs are computed, as listed by `bench plugins`.
        workers: processes; None: one per core, or one per GPU.
        again: run once more even if the store has a run.
        reference: `shipped`: the retrained models that come with bench, where they fit; `train`: all are trained here.
        precision: what networks compute in: `float32`, `tf32` (on a GPU) or `bf16`; rows of different ones are never compared.
        progress: who is told; None: bars on standard error, or below the cell.

    Raises:
        BenchError: an argument is not understood. Methods that fail are in the results, with their reason.
    """
    texts = {"budget": budget, "device": device, "task": task, "precision": precision}
    _check_kinds(models=(models, int), seed=(seed, int), **{name: (value, str) for name, value in texts.items()})
    if not plugins and not controls:
        raise BenchError("name a method: bench.run('scrub'); `bench plugins` lists them")
    settings = Settings(
        task, models, (Budget.parse(budget),), seed, expanded(store), device, executor, workers, None, again, reference, precision
    )
    wanted = [specs.parse(_name(plugin)) for plugin in [*plugins, *(CONTROLS if controls else ())]]
    with progress or Bars() as bars:
        results = run_quickly(wanted, settings, bars)
        results.score(bars)
    return results


def _check_kinds(**given: tuple[object, type]) -> None:
    for name, (value, kind) in given.items():
        if type(value) is not kind:
            raise BenchError(f"{name} takes {'a text' if kind is str else 'a whole number'}, not {value!r}")


def _name(plugin: object) -> str:
    if isinstance(plugin, str | Path):
        return str(plugin)
    kind = getattr(plugin, "__name__", type(plugin).__name__)
    raise BenchError(
        f"{kind} is no name: methods run in processes of their own, which cannot see it; save it with"
        " %%writefile my_method.py and give bench.run the file's name"
    )


def run_quickly(wanted: Sequence[specs.Spec], settings: Settings, progress: Progress) -> Results:
    """Run methods, and compute what a first table shows of them; the rest is `Results.score`.

    Raises:
        BenchError: a setting is not understood, or the store cannot be written.
    """
    _check(settings)
    neighbours = Neighbours()
    requests = [request for budget in settings.budgets for request in _requests(wanted, settings, budget)]
    factory, store = find_executor(settings.executor), Store(settings.store)
    prepare_children()
    task = load_task(settings.task)
    for library in LIBRARIES:
        import_module(library)
    store.prepare()
    device = find_device(settings.device, settings.precision)
    if settings.device == "auto" and not is_cpu(device.kind):
        progress.note(f"computing on {device.kind}; --device cpu does without")
    if warning := neighbours.warning():
        progress.note(f"{warning}; times are compared with retraining beside them, and rows say so")
    if warning := uncounted():
        progress.note(f"{warning}; {UNCOUNTED_REMEDY}")
    limits = {"workers": settings.workers, "memory_limit": settings.memory_limit}
    shipped = settings.reference == SHIPPED
    with Session(store, task, device, factory, progress=progress, shipped=shipped, **limits) as session:
        return _run_all(session, store, requests)


def _check(settings: Settings) -> None:
    check_models(settings.models)
    gpu_number(settings.device)
    precision_named(settings.precision)
    if settings.reference not in REFERENCES:
        raise unknown("reference", settings.reference, REFERENCES)
    if settings.seed < 0:
        raise BenchError(f"seed {settings.seed} is not understood: give 0 or more")
    if settings.workers is not None and settings.workers < 1:
        raise BenchError(f"{settings.workers} workers cannot work: give 1 or more")


def _requests(wanted: Sequence[specs.Spec], settings: Settings, budget: Budget) -> Iterator[Request]:
    for spec in dict.fromkeys(map(str, wanted)):
        parsed = specs.parse(spec)
        plugin = discovery.find_method(parsed.plugin)
        yield Request(plugin, parsed, settings.models, budget, settings.seed, settings.again)


def _run_all(session: Session, store: Store, requests: Sequence[Request]) -> Results:
    described, problems = _described(session, requests)
    if not described:
        return Results(store, [], problems)
    described += _originals(session, described)
    reference = store.reference(session.task.key, session.device.kind, session.progress.note)
    references.build(session, reference, _needed(described))
    _prepare(session, reference, requests[0].models)
    runs = []
    for request, description in described:
        try:
            runs.append(_run_one(session, store, reference, request, description))
        except (BenchError, WorkerError) as problem:  # of this run: the others go on
            problems.append(BenchError(f"{request.spec}: {problem}"))
    return Results(store, runs, problems)


def _described(session: Session, requests: Sequence[Request]) -> tuple[list[tuple[Request, Description]], list[BenchError]]:
    """Those that load and can keep to their budget, and why the others do not: one broken plugin must not stop the rest."""
    described, problems = [], dict[str, BenchError]()
    for request in requests:
        try:
            described.append((request, describe(session, request)))
        except BenchError as problem:  # the same at every budget, unless it is about that
            problems.setdefault(str(problem), problem)
    return described, list(problems.values())


def _originals(session: Session, described: Sequence[tuple[Request, Description]]) -> list[tuple[Request, Description]]:
    """The row of the original model at every budget, unless somebody asked for it."""
    asked = [request for request, _ in described]
    if any(request.plugin.name == ORIGINAL for request in asked):
        return []
    plugin, spec = discovery.find_method(ORIGINAL), specs.Spec(ORIGINAL, {})
    budgets = dict.fromkeys(request.budget for request in asked)
    rows = [replace(asked[0], plugin=plugin, spec=spec, budget=budget) for budget in budgets]
    description = describe(session, rows[0])
    return [(each, description) for each in rows]


def _needed(described: Sequence[tuple[Request, Description]]) -> list[int]:
    indices = {index for request, _ in described for index in range(request.models)}
    indices.update(index for _, description in described for index in description.reference_models if index is not None)
    return sorted(indices)


def _prepare(session: Session, reference: Reference, models: int) -> None:
    """Compute before any trial what quick metrics say of the reference, so that the first table need not wait for it."""
    scorer = Scorer(reference, models, reference.identifier(models))
    missing = [item for item in installed_metrics()[0] if item.metric.quick and not scorer.prepared(item)]
    if missing:
        advance = session.progress.stage("reference: scoring", len(missing))
        scorer.prepare(missing, lambda name: advance(1))


def _run_one(session: Session, store: Store, reference: Reference, request: Request, description: Description) -> Run:
    """Run a method, and compute what the first table shows: nobody should wait for the rest to see it."""
    done = Run.read(store.runs / complete_run(session, reference, request, description))
    if done.record.complete:
        scorer = Scorer(reference, request.models, done.record.reference_id)
        quick = [item for item in scorer.missing(done, installed_metrics()[0]) if item.metric.quick]
        if quick:
            advance = session.progress.stage(f"{request.plugin.name}: scoring", len(quick))
            scorer.score(done, quick, lambda name: advance(1))
    return done
