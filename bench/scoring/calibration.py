"""Cases with a known answer, drawn from normal distributions: what each metric says of them is how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bench.errors import BenchError
from bench.metrics.installed import InstalledMetric
from bench.metrics.metric import Evidence, Models, Timing
from bench.metrics.quantity import P_VALUE
from bench.metrics.resampling import LEVEL
from bench.metrics.threads import one_thread
from bench.outputs import OUTPUT_SPLITS, Floats, Outputs
from bench.scoring.constructions import CHOSEN, DIFFERENCES, Change, Fresh, strangers_of
from bench.scoring.scorecard import Measure, Scorecard, Section, section
from bench.seeds import numpy_generator

CLASSES = 10
MEMBER = 3.0  # by how many standard deviations training raises the confidence of an example
UNTIMED = Timing(seconds=(), beside=(), allowed=1.0, retraining=1.0)
EXAMPLE_SPREAD = 2.0  # standard deviation of an example's mean confidence, in those of models

CASES: Mapping[str, Change] = {**DIFFERENCES, **CHOSEN}


@dataclass(frozen=True)
class Population:
    """A made-up task: labels, and per example the mean confidence of models without it, and the other classes' logits."""

    labels: Mapping[str, NDArray[np.int64]]
    means: Mapping[str, Floats]
    others: Mapping[str, Floats]
    generator: np.random.Generator

    @classmethod
    def draw(cls, examples: int, seed: int) -> Population:
        """Splits of `examples` examples each (test and unseen people: as many, or 200 if that is more)."""
        generator = numpy_generator(seed, "metric", 1000)
        sizes = {split: examples if split == "forget" else max(examples, 200) for split in OUTPUT_SPLITS}
        labels = {split: generator.integers(CLASSES, size=size) for split, size in sizes.items()}
        means = {split: EXAMPLE_SPREAD * generator.normal(size=size) for split, size in sizes.items()}
        others = {split: generator.normal(size=(size, CLASSES)) for split, size in sizes.items()}
        return cls(labels, {**means, "retain_sample": means["retain_sample"] + MEMBER}, others, generator)

    def retrained(self, models: int) -> Models:
        """Fresh retrained models."""
        return self._models({split: self._confidences(split, models) for split in OUTPUT_SPLITS})

    def original(self) -> Models:
        """A model that was trained on the forget set, too."""
        confidences = {split: self._confidences(split, 1) for split in OUTPUT_SPLITS}
        return self._models({**confidences, "forget": confidences["forget"] + MEMBER})

    def case(self, change: Change, reference: Models) -> Models:
        """Unlearned models that differ from retrained ones by `change`, on the forget set."""
        confidences = {split: self._confidences(split, len(reference)) for split in OUTPUT_SPLITS}
        strangers = confidences["unseen"][:, strangers_of(self.labels["forget"], self.labels["unseen"])]
        fresh = Fresh(confidences["forget"], strangers, self.labels["forget"], self.means["forget"])
        return self._models({**confidences, "forget": change(fresh, reference.confidence)})

    def _confidences(self, split: str, models: int) -> Floats:
        return self.means[split] + self.generator.normal(size=(models, len(self.means[split])))

    def _models(self, confidences: Mapping[str, Floats]) -> Models:
        logits = {split: self._logits(split, values) for split, values in confidences.items()}
        retain = (confidences["retain_sample"] > 0).mean(axis=1)
        return Models(Outputs(logits, retain), self.labels)

    def _logits(self, split: str, confidences: Floats) -> NDArray[np.float32]:
        """Logits [M, n, K] with these logit-scaled confidences [M, n]; models differ in the true class only."""
        rows, labels = np.arange(len(self.labels[split])), self.labels[split]
        others = self.others[split].copy()
        others[rows, labels] = -np.inf
        logits = np.repeat(others[None], len(confidences), axis=0)
        logits[:, rows, labels] = confidences + logsumexp(others, axis=-1)
        return logits.astype(np.float32)


@dataclass(frozen=True)
class CaseResult:
    """What a measure or a flag says of a case over the repeats."""

    mean: float | None  # of the value; None for a flag
    told: int | None  # in how many repeats it tells the case from retrained models; None: it does not say


def calibrated(
    metrics: Sequence[InstalledMetric], models: int, examples: int, repeats: int, seed: int, advance: Callable[[], None]
) -> dict[str, dict[str, CaseResult]]:
    """Every metric's answers on every case, case -> measure or flag -> answer."""
    cards: dict[str, list[Scorecard]] = {case: [] for case in CASES}
    for repeat in range(repeats):
        population = Population.draw(examples, seed + repeat)
        reference, original = population.retrained(models), population.original()
        unlearned = {case: population.case(change, reference) for case, change in CASES.items()}
        evidence = {case: Evidence(models, reference, UNTIMED, original=original) for case, models in unlearned.items()}
        found: dict[str, dict[str, Section]] = {case: {} for case in CASES}
        with one_thread():
            for item in metrics:
                for case, answered in _asked(item, reference, original, evidence, advance):
                    found[case][item.name] = answered
        for case, sections in found.items():
            cards[case].append(Scorecard(sections=sections))
    return {case: _answers(each) for case, each in cards.items()}


def _asked(
    item: InstalledMetric, reference: Models, original: Models, evidence: Mapping[str, Evidence], advance: Callable[[], None]
) -> Iterator[tuple[str, Section]]:
    """What one metric says of every case."""
    try:
        baseline = item.metric.baseline(reference, original)
        advance()
        for case, each in evidence.items():
            yield case, section(item.metric, baseline, item.metric.score(each))
            advance()
    except Exception as problem:
        raise BenchError(
            f"metric {item.name} fails: {type(problem).__name__}: {problem}; leave it out with --metric"
        ) from problem


def _answers(cards: Sequence[Scorecard]) -> dict[str, CaseResult]:
    measures = {name for card in cards for name in card.measures if "." not in name}
    flags = {flag for card in cards for flag in card.flags}
    return {
        **{name: _answer([card.measures[name] for card in cards if name in card.measures]) for name in sorted(measures)},
        **{f"[{flag}]": CaseResult(None, sum(flag in card.flags for card in cards)) for flag in sorted(flags)},
    }


def _answer(measures: Sequence[Measure]) -> CaseResult:
    verdicts = [tells(measure) for measure in measures]
    said = [verdict for verdict in verdicts if verdict is not None]
    return CaseResult(float(np.mean([measure.value for measure in measures])), sum(said) if said else None)


def tells(measure: Measure) -> bool | None:
    """Whether a measure tells the models from retrained ones: a p-value below 5 %, or a gap whose interval leaves out 0."""
    if measure.unit == P_VALUE:
        return measure.value < LEVEL
    if measure.gap_interval:
        return not measure.gap_interval[0] <= 0 <= measure.gap_interval[1]
    return None
