"""Scores finished runs: computes what their scorecards lack, from stored outputs, without training anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, one_line
from bench.metrics.installed import InstalledMetric
from bench.metrics.metric import Baseline, Evidence, Metric, Models
from bench.metrics.threads import one_thread
from bench.outputs import OUTPUT_SPLITS, NoAnswersError, Outputs, first_not_finite
from bench.registry import loading
from bench.scoring.scorecard import Scorecard, Section, keep_scorecard, presentations, read_scorecard, section
from bench.store.fields import MANY, checked
from bench.store.files import DamagedFileError, locked
from bench.store.reference_records import KeptBaseline
from bench.store.references import Labels, Reference
from bench.store.runs import Run
from bench.store.store import Store

FEWEST_MODELS = 8

Told = Callable[[str], None]


def check_models(models: int) -> None:
    """Refuse to compare distributions of a handful of models, and more models than a record holds."""
    if models < FEWEST_MODELS:
        raise BenchError(f"{models} models are too few to compare distributions; use --models {FEWEST_MODELS} or more")
    if models > MANY:
        raise BenchError(f"{models} models are too many; use --models {MANY} or fewer")


class Scorer:
    """Scores runs that are compared with the same retrained models; reads those once."""

    def __init__(self, reference: Reference, models: int, reference_id: str, absent: Collection[str] = ()) -> None:
        check_models(models)
        available = reference.record.available
        if available < models:
            raise BenchError(
                f"the reference in {reference.folder} has {available} retrained models, the run needs {models};"
                f" the command that made the run trains them again"
            )
        if reference.identifier(models) != reference_id:
            raise BenchError(
                f"the run was compared with reference {reference_id}, which is not the one in {reference.folder}; run it again"
            )
        self._reference, self._models, self._id = reference, models, reference_id
        self._absent = absent  # splits that models which were unlearned elsewhere do not answer on: as if the task had none
        self._others: dict[frozenset[str], Scorer] = {}
        self._stale: set[str] = set()

    @classmethod
    def of(cls, store: Store, run: Run) -> Scorer:
        """The scorer of a run in a store."""
        record = run.record
        return cls(store.reference_of(record), record.models, record.reference_id)

    @cached_property
    def retrained(self) -> Models:
        """The retrained models."""
        return self._checked(self._reference.retrained(range(self._models)), "retrained model")

    @cached_property
    def original(self) -> Models:
        """The original model."""
        return self._checked(self._reference.original(), "original model")

    def missing(self, run: Run, metrics: Sequence[InstalledMetric]) -> list[InstalledMetric]:
        """Metrics that a run's scorecard lacks, or has of another version, or by fewer retrained models than there are now."""
        have = _kept(run).sections
        current = {name: (section.version, section.further) for name, section in have.items() if not section.problem}
        return [item for item in metrics if current.get(item.name) != (item.metric.version, self._sets(item.metric))]

    def score(self, run: Run, metrics: Sequence[InstalledMetric], advance: Told = lambda name: None) -> Scorecard:
        """Add metrics to the scorecard of a complete run, and keep it after each one."""
        if not run.record.complete:
            raise BenchError(f"run {run.folder.name} is not complete; the command that made it resumes it")
        with locked(run.folder, lambda text: None), one_thread():
            return self._score(run, metrics, advance)

    def _score(self, run: Run, metrics: Sequence[InstalledMetric], advance: Told) -> Scorecard:
        card, scorer = _kept(run), self._fitting(run)
        try:
            evidence = scorer._evidence(run)
        except RefusedError as problem:
            return keep_scorecard(run, Scorecard(refused=str(problem)))
        for item in metrics:
            advance(item.name)
            found = _section(item, evidence, partial(scorer._baseline, item))
            card = keep_scorecard(run, card.with_section(item.name, found))
        return card

    def _fitting(self, run: Run) -> Scorer:
        """A scorer that asks for no split on which the run's models do not answer."""
        if not run.record.self_reported:
            return self
        absent = frozenset(OUTPUT_SPLITS) - frozenset(run.outputs(self._reference).logits)
        if absent and absent not in self._others:
            self._others[absent] = Scorer(self._reference, self._models, self._id, absent)
        return self._others[absent] if absent else self

    def recomputed(self, run: Run, metrics: Collection[InstalledMetric]) -> Iterator[tuple[str, Section]]:
        """What metrics say of a run and of the reference, by name, from their outputs alone; nothing is kept."""
        scorer = self._fitting(run)
        evidence = scorer._evidence(run)
        with one_thread():
            for item in metrics:
                yield item.name, _section(item, evidence, partial(scorer._computed, item.metric))

    def forget_baselines(self, metrics: Sequence[InstalledMetric]) -> None:
        """Have what metrics say of the reference computed again when it is needed next."""
        self._stale.update(item.name for item in metrics)

    def prepare(self, metrics: Sequence[InstalledMetric], advance: Told = lambda name: None) -> None:
        """Compute what metrics say of the reference itself, so that no run waits for it."""
        with one_thread():
            for item in metrics:
                with suppress(Exception):  # comes again, and is reported, where a run is scored
                    self._baseline(item)
                advance(item.name)

    def unlearned(self, run: Run) -> Models:
        """The models of a run.

        Raises:
            RefusedError: an answer is not finite, or there are not as many models as retrained ones.
        """
        models = self._checked(run.outputs(self._reference), "trial")
        if len(models) != len(self.retrained):
            raise RefusedError(f"{len(models)} unlearned models cannot be compared with {len(self.retrained)} retrained ones")
        return models

    def _evidence(self, run: Run) -> Evidence:
        unlearned, again = self.unlearned(run), run.again()
        if again:
            _check_again(again.outputs, unlearned.outputs)
        return Evidence(unlearned, self.retrained, run.record.timing, again, self.original)

    def _checked(self, outputs: Outputs, noun: str) -> Models:
        wrong = first_not_finite(outputs)
        if wrong:
            raise RefusedError(f"{noun} {wrong}")
        asked = outputs.without(self._absent)
        labels, people = ({name: self._asked(name, each) for name, each in known.items()} for known in self._known)
        arrays: list[NDArray[Any]] = [*asked.arrays().values(), *labels.values(), *people.values()]
        for array in arrays:
            array.flags.writeable = False  # metrics share them, and some are strangers'
        return Models(asked, labels, people)

    @property
    def _known(self) -> tuple[Labels, Labels]:
        """Labels, and people, by split."""
        return self._reference.labels(), self._reference.identities()

    def _asked(self, split: str, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values[:0] if split in self._absent else values

    def prepared(self, item: InstalledMetric) -> bool:
        """Whether the reference's own values of a metric are known."""
        return self._cached(item) is not None

    def _cached(self, item: InstalledMetric) -> KeptBaseline | None:
        kept = self._reference.kept_baseline(self._id, item.name)
        asked = (item.metric.version, self._sets(item.metric))
        return kept if kept and (kept.version, kept.further) == asked and item.name not in self._stale else None

    def _baseline(self, item: InstalledMetric) -> KeptBaseline:
        if self._absent:
            return self._computed(item.metric)
        cached = self._cached(item)
        if cached:
            return cached
        kept = checked(self._computed(item.metric))
        self._stale.discard(item.name)
        self._reference.keep_baseline(self._id, item.name, kept)
        return kept

    def _computed(self, metric: Metric) -> KeptBaseline:
        found, sets = _answered(metric.baseline(self.retrained, self.original)), self._sets(metric)
        further = [each for place in range(sets) if (each := self._further(place))]
        if further:
            told = _answered(metric.ceiling(self.retrained, further))
            both = {name: {**getattr(found, name), **getattr(told, name)} for name in ("retrained", "details")}
            found = replace(found, **both)
        return KeptBaseline(version=metric.version, baseline=found, further=sets)

    def _sets(self, metric: Metric) -> int:
        """How many sets of N further retrained models the reference has, of those that a metric asks for."""
        return min(metric.further, self._reference.record.available // self._models - 1)

    def _further(self, place: int) -> Models | None:
        """A set of them; None: an answer of theirs is not finite, which no row that is compared with others has to pay for."""
        first = (place + 1) * self._models
        with suppress(RefusedError):
            return self._checked(self._reference.retrained(range(first, first + self._models)), "retrained model")
        return None


def _answered(found: Baseline) -> Baseline:
    if not isinstance(found, Baseline):
        raise TypeError(f"baseline must answer a Baseline, not {type(found).__name__}")
    return found


def _check_again(again: Outputs, scored: Outputs) -> None:
    """A stranger's timed trials could be anything."""
    if first_not_finite(again) or any(logits.shape[1:] != again.logits[name].shape[1:] for name, logits in scored.logits.items()):
        raise RefusedError("its timed trials do not answer as its scored ones do")


def _section(item: InstalledMetric, evidence: Evidence, baseline: Callable[[], KeptBaseline]) -> Section:
    """A metric that fails costs its own numbers, never the scorecard; with BENCH_STRICT its error is raised."""
    try:
        known = baseline()
        return section(item.metric, known.baseline, item.metric.score(evidence), known.further)
    except RefusedError:
        raise
    except NoAnswersError as absent:
        return Section(version=item.metric.version, quantities=presentations(item.metric), notes=[str(absent)])
    except (Exception, SystemExit) as problem:
        if loading.strict():
            raise
        told = one_line(f"{type(problem).__name__}: {problem}")
        return Section(version=item.metric.version, quantities=presentations(item.metric), problem=told)


def _kept(run: Run) -> Scorecard:
    """What is known of a run already; a damaged scorecard is computed again."""
    try:
        return read_scorecard(run) or Scorecard()
    except DamagedFileError:
        return Scorecard()


class RefusedError(BenchError):
    """Outputs that cannot be scored."""
