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
from bench.outputs import OUTPUT_SPLITS, Floats, Outputs
from bench.scoring.scorecard import Measure, Scorecard, Section, section
from bench.seeds import numpy_generator

CLASSES = 10
OUTLIER = -40.0
MEMBER = 3.0  # by how many standard deviations training raises the confidence of an example
UNTIMED = Timing(seconds=(), beside=(), allowed=1.0, retraining=1.0)
EXAMPLE_SPREAD = 2.0  # standard deviation of an example's mean confidence, in those of models

Change = Callable[[Floats, Floats], Floats]  # fresh retrained confidences [N, E], those of the reference [N, E] -> unlearned ones


def shifted(amount: float) -> Change:
    """Confidences that many standard deviations too high: forgotten in part only."""
    return lambda fresh, reference: fresh + amount


def half_as_wide(fresh: Floats, reference: Floats) -> Floats:
    """The right mean and half the spread: methods with too little randomness between trials."""
    mean = reference.mean(axis=0)
    narrow: Floats = mean + 0.5 * (fresh - mean)
    return narrow


def gaming(fresh: Floats, reference: Floats) -> Floats:
    """All models but one constant at the lower quartile of retrained models, one far away: scores 1 in the challenge."""
    constant = np.repeat(np.quantile(reference, 0.25, axis=0)[None], len(fresh), axis=0)
    constant[0] = OUTLIER
    return constant


def deterministic(fresh: Floats, reference: Floats) -> Floats:
    """One retrained model, N times: perfect unlearning without randomness between trials."""
    return np.repeat(fresh[:1], len(fresh), axis=0)


def on_two_levels(low: float, high: float, away: float = 0.0) -> Change:
    """Half of the models at one quantile of the retrained ones, half at another, shuffled per example; one `away` from the ends.

    Chosen so that every threshold errs: beyond the ceiling of the challenge's score without a retrained model's data.
    """

    def chosen(fresh: Floats, reference: Floats) -> Floats:
        generator = numpy_generator(len(fresh), "metric", 1001)
        levels = np.quantile(reference, [low, high], axis=0)
        values = np.where((np.arange(len(fresh)) % 2 == 0)[:, None], levels[0], levels[1])
        if away:
            values[0] = reference.max(axis=0) + away if away > 0 else reference.min(axis=0) + away
        return np.asarray(generator.permuted(values, axis=0))

    return chosen


def copied(noise: float) -> Change:
    """The retrained models of the reference in another order, with noise of a share of their spread."""

    def taken(fresh: Floats, reference: Floats) -> Floats:
        own = fresh - fresh.mean(axis=0)
        return np.asarray(np.roll(reference, 1, axis=0) + noise * own)

    return taken


CASES: Mapping[str, Change] = {
    "retrained": shifted(0.0),
    "shift 0.5 sd": shifted(0.5),
    "shift 1 sd": shifted(1.0),
    "shift 2 sd": shifted(2.0),
    "half width": half_as_wide,
    "gaming": gaming,
    "deterministic": deterministic,
    "two levels, one above": on_two_levels(0.4, 0.65, away=6.0),
    "two levels, one below": on_two_levels(0.35, 0.6, away=-6.0),
    "two levels": on_two_levels(0.25, 0.75),
    "copied, noise .01": copied(0.01),
    "copied, noise .1": copied(0.1),
}


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
        return self._models({**confidences, "forget": change(confidences["forget"], reference.confidence)})

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
