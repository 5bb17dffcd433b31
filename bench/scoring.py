"""Scores finished runs: computes what their scorecards lack, from stored outputs, without training anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

from numpy.typing import NDArray

from bench import registry
from bench.engine.runs import Run
from bench.errors import BenchError
from bench.metrics.metric import Baseline, Estimate, Evidence, Metric, Models, Timing
from bench.outputs import Outputs, first_not_finite
from bench.references import References, folder_of
from bench.results import read_scorecard
from bench.scorecard import Scorecard, Section, section
from bench.store import DamagedFileError, Store, locked, write_record

FEWEST_MODELS = 8
DISTRIBUTION = "unlearning-bench"  # its metrics are the first to claim their quantities

Advance = Callable[[str], None]


@dataclass(frozen=True)
class Named:
    """A metric and the name it is installed under."""

    name: str
    metric: Metric


def installed_metrics() -> tuple[list[Named], list[BenchError]]:
    """Every installed metric that loads, the quick ones first, and what is wrong with the others."""
    found: list[Named] = []
    problems: list[BenchError] = []
    plugins = sorted(registry.plugins(registry.METRICS), key=lambda plugin: plugin.distribution != DISTRIBUTION)
    for name in dict.fromkeys(plugin.name for plugin in plugins):
        try:
            metric = registry.load_metric(registry.choose(plugins, name, "metric"))
            _check_quantities(name, metric, found)
        except BenchError as problem:
            problems.append(problem)
        else:
            found.append(Named(name, metric))
    return sorted(found, key=lambda item: not item.metric.quick), problems


def _check_quantities(name: str, metric: Metric, others: Sequence[Named]) -> None:
    """Two metrics that answer one quantity would overwrite each other."""
    declared = {quantity.name for quantity in metric.quantities}
    for other in others:
        shared = declared & {quantity.name for quantity in other.metric.quantities}
        if shared:
            raise BenchError(f"metric {name} is left out: it declares {sorted(shared)[0]}, which {other.name} answers")


def check_models(models: int) -> None:
    """Refuse to compare distributions of a handful of models."""
    if models < FEWEST_MODELS:
        raise BenchError(f"{models} models are too few to compare distributions; use --models {FEWEST_MODELS} or more")


class Scorer:
    """Scores runs that are compared with the same retrained models; reads those once."""

    def __init__(self, references: References, models: int, reference_id: str) -> None:
        check_models(models)
        available = references.available()
        if available < models:
            raise BenchError(
                f"the reference in {references.folder} has {available} retrained models, the run needs {models};"
                f" the command that made the run trains them again"
            )
        if references.identifier(models) != reference_id:
            raise BenchError(
                f"the run was compared with reference {reference_id}, which is not the one in {references.folder}; run it again"
            )
        self._references, self._models, self._id = references, models, reference_id
        self._stale: set[str] = set()

    @classmethod
    def of(cls, store: Store, run: Run) -> Scorer:
        """The scorer of a run in a store."""
        folder = folder_of(store.references, run.record["task"]["key"], run.record["device"]["kind"])
        return cls(References(folder), int(run.record["models"]), run.record["reference_id"])

    @cached_property
    def retrained(self) -> Models:
        """The retrained models."""
        return self._checked(self._references.retrained(range(self._models)), "retrained model")

    @cached_property
    def original(self) -> Models:
        """The original model."""
        return self._checked(self._references.original(), "original model")

    def missing(self, run: Run, metrics: Sequence[Named]) -> list[Named]:
        """Metrics that a run's scorecard lacks, or has of another version."""
        have = _kept(run).sections
        current = {name: section.version for name, section in have.items() if not section.problem}
        return [item for item in metrics if current.get(item.name) != item.metric.version]

    def score(self, run: Run, metrics: Sequence[Named], advance: Advance = lambda name: None) -> Scorecard:
        """Add metrics to the scorecard of a complete run, and keep it after each one."""
        if not run.complete:
            raise BenchError(f"run {run.folder.name} is not complete; the command that made it resumes it")
        with locked(run.folder, lambda text: None):
            return self._score(run, metrics, advance)

    def _score(self, run: Run, metrics: Sequence[Named], advance: Advance) -> Scorecard:
        card = _kept(run)
        try:
            evidence = self._evidence(run)
        except RefusedError as problem:
            card = Scorecard(refused=str(problem))
            _keep(run, card)
            return card
        for item in metrics:
            advance(item.name)
            card = card.with_section(item.name, _section(item, evidence, partial(self._baseline, item)))
            _keep(run, card)
        return card

    def recomputed(self, run: Run, item: Named) -> Section:
        """What a metric says of a run and of the reference, from their outputs alone; nothing is kept."""
        return _section(item, self._evidence(run), lambda: item.metric.baseline(self.retrained, self.original))

    def forget_baselines(self, metrics: Sequence[Named]) -> None:
        """Have what metrics say of the reference computed again when it is needed next."""
        self._stale.update(item.name for item in metrics)

    def prepare(self, metrics: Sequence[Named], advance: Advance = lambda name: None) -> None:
        """Compute what metrics say of the reference itself, so that no run waits for it."""
        for item in metrics:
            with suppress(Exception):  # comes again, and is reported, where a run is scored
                self._baseline(item)
            advance(item.name)

    def unlearned(self, run: Run) -> Models:
        """The models of a run.

        Raises:
            RefusedError: an answer is not finite, or there are not as many models as retrained ones.
        """
        models = self._checked(run.outputs(self._references), "trial")
        if len(models) != len(self.retrained):
            raise RefusedError(f"{len(models)} unlearned models cannot be compared with {len(self.retrained)} retrained ones")
        return models

    def _evidence(self, run: Run) -> Evidence:
        record = run.record
        timing = Timing(
            solo=[solo["seconds"] for solo in record["solo"] if "seconds" in solo],
            retraining=record["retraining_seconds"],
            allowance=record["allowance_seconds"],
            peak_memory=[solo["peak_memory"] for solo in record["solo"] if "peak_memory" in solo],
        )
        return Evidence(self.unlearned(run), self.retrained, timing)

    def _checked(self, outputs: Outputs, noun: str) -> Models:
        wrong = first_not_finite(outputs)
        if wrong:
            raise RefusedError(f"{noun} {wrong}")
        labels = self._references.labels()
        arrays: list[NDArray[Any]] = [*outputs.logits.values(), outputs.retain_accuracy, *labels.values()]
        for array in arrays:
            array.flags.writeable = False  # metrics share them, and some are strangers'
        return Models(outputs, labels)

    def prepared(self, item: Named) -> bool:
        """Whether the reference's own values of a metric are known."""
        return self._cached(item) is not None

    def _cached(self, item: Named) -> Baseline | None:
        cached = self._references.cached_baseline(self._id, item.name)
        if not cached or cached.get("version") != item.metric.version or item.name in self._stale:
            return None
        try:
            return Baseline(_estimates(cached["retrained"]), _estimates(cached["original"]), cached.get("details", {}))
        except (TypeError, ValueError, KeyError, AttributeError):
            return None  # damaged: computed again

    def _baseline(self, item: Named) -> Baseline:
        cached = self._cached(item)
        if cached:
            return cached
        found = item.metric.baseline(self.retrained, self.original)
        self._stale.discard(item.name)
        self._references.keep_baseline(self._id, item.name, {"version": item.metric.version, **asdict(found)})
        return found


def _section(item: Named, evidence: Evidence, baseline: Callable[[], Baseline]) -> Section:
    """A metric that fails costs its own numbers, never the scorecard; with BENCH_STRICT its error is raised."""
    try:
        return section(item.metric, baseline(), item.metric.score(evidence))
    except RefusedError:
        raise
    except (Exception, SystemExit) as problem:
        if registry.strict():
            raise
        return Section(item.metric.version, problem=f"{type(problem).__name__}: {problem}")


def _keep(run: Run, card: Scorecard) -> None:
    write_record(run.folder / "scorecard.json", {**card.record(), "run": run.folder.name})


def _kept(run: Run) -> Scorecard:
    """What is known of a run already; a damaged scorecard is computed again."""
    try:
        return read_scorecard(run) or Scorecard()
    except DamagedFileError:
        return Scorecard()


class RefusedError(BenchError):
    """Outputs that cannot be scored."""


def _estimates(record: Mapping[str, Any]) -> dict[str, Estimate]:
    estimates = {
        name: Estimate(float(each["value"]), None if each["sd"] is None else float(each["sd"])) for name, each in record.items()
    }
    if not all(math.isfinite(each.value) and math.isfinite(each.sd or 0.0) for each in estimates.values()):
        raise ValueError("a value is not finite")
    return estimates
