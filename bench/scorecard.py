"""Metrics of a run, from outputs and times, as one record with units and directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.metrics import forgetting
from bench.metrics.confidence import cross_entropy, logit_scaled_confidence
from bench.metrics.utility import accuracy, final_score
from bench.outputs import Outputs
from bench.seeds import numpy_generator, purpose_seed

ATTACKED_MODELS = 64  # the regressions look at the first models of each side
CEILING_HALVES = 4
SCREENING = 32

Better = Literal["higher", "lower", "as retrained"]
Labels = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Measure:
    """One number of a scorecard, beside what retrained models get."""

    value: float
    unit: str
    better: Better
    retrained: float | None = None


@dataclass(frozen=True)
class Scorecard:
    """All measures of a run. `epsilons` are per forget example; None marks an undecided one."""

    measures: Mapping[str, Measure]
    epsilons: Sequence[float | None]
    badges: Sequence[str]
    provisional_ceiling: float  # forgetting score of halves of the retrained models against each other

    def record(self) -> dict[str, Any]:
        """As stored in `scorecard.json`."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Scorecard:
        """The inverse of `record`."""
        measures = {name: Measure(**measure) for name, measure in record["measures"].items()}
        return cls(measures, record["epsilons"], record["badges"], record["provisional_ceiling"])


@dataclass(frozen=True)
class Timing:
    """What the runtime measures are computed from, in seconds."""

    solo: Sequence[float]  # empty for control rows
    retraining: float
    allowance: float


@dataclass(frozen=True)
class Baseline:
    """What the retrained models get: computed once per reference and N."""

    retain_accuracy: float
    test_accuracy: float
    validation_accuracy: float
    forget_accuracy: float
    attack: float
    ceiling: float  # provisional: mean score of random halves of the retrained models against each other


def baseline(retrained: Outputs, labels: Labels) -> Baseline:
    """Measure the retrained models themselves."""
    confidence = logit_scaled_confidence(retrained.logits["forget"], labels["forget"])
    half = len(confidence) // 2
    generator = numpy_generator(0, "metric", 0)
    orders = [generator.permutation(len(confidence)) for _ in range(CEILING_HALVES)]
    scores = [forgetting.forgetting_score(confidence[order[:half]], confidence[order[half : 2 * half]]) for order in orders]
    means = _accuracies(retrained, labels)
    return Baseline(**means, attack=_attack(retrained, labels), ceiling=float(np.mean(scores)))


def score(
    unlearned: Outputs, retrained: Outputs, labels: Labels, reference: Baseline, timing: Timing, badges: Sequence[str]
) -> Scorecard:
    """The scorecard of N unlearned models against N retrained ones."""
    confidence = [logit_scaled_confidence(side.logits["forget"], labels["forget"]) for side in (unlearned, retrained)]
    epsilons = forgetting.epsilons(*confidence)
    forgotten = forgetting.points(epsilons, models=len(unlearned))
    means = _accuracies(unlearned, labels)
    ratios = {
        name: means[f"{name}_accuracy"] / getattr(reference, f"{name}_accuracy") for name in ("retain", "test", "validation")
    }
    attack = _attack(unlearned, labels)
    measures = {
        "final_score": Measure(final_score(forgotten, ratios["retain"], ratios["test"]), "score", "higher"),
        "forgetting_score": Measure(forgotten, "score", "higher"),
        "undecided_examples": Measure(float(np.isnan(epsilons).sum()), "examples", "lower"),
        **{
            f"{name}_accuracy": Measure(value, "share", _DIRECTION[name], getattr(reference, f"{name}_accuracy"))
            for name, value in _named(means)
        },
        **{f"{name}_ratio": Measure(value, "of retrained", "higher", 1.0) for name, value in ratios.items()},
        "attack_accuracy": Measure(attack, "share", "as retrained", reference.attack),
        "attack_gap": Measure(abs(attack - reference.attack), "share", "lower", 0.0),
        **_runtime(timing),
    }
    shown = [*(["screening"] if len(unlearned) < SCREENING else []), *badges, *_over_budget(timing)]
    decided = [None if np.isnan(value) else float(value) for value in epsilons]
    return Scorecard(measures, decided, shown, reference.ceiling)


_DIRECTION: dict[str, Better] = {"retain": "higher", "test": "higher", "validation": "higher", "forget": "as retrained"}


def _named(means: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(name.removesuffix("_accuracy"), value) for name, value in means.items()]


def _accuracies(outputs: Outputs, labels: Labels) -> dict[str, float]:
    splits = ("test", "validation", "forget")
    means = {f"{split}_accuracy": float(accuracy(outputs.logits[split], labels[split]).mean()) for split in splits}
    return {"retain_accuracy": float(outputs.retain_accuracy.mean()), **means}


def _attack(outputs: Outputs, labels: Labels) -> float:
    """Mean accuracy of the starting kit's attack over models, on one balanced sample for all of them."""
    from bench.metrics.membership import balanced_rows, loss_attack

    rows = balanced_rows(len(labels["forget"]), len(labels["test"]), numpy_generator(0, "metric", 1))
    losses = [
        cross_entropy(outputs.logits[split][:ATTACKED_MODELS, chosen], labels[split][chosen])
        for split, chosen in zip(("forget", "test"), rows, strict=True)
    ]
    return float(loss_attack(*losses, seed=purpose_seed(0, "attack")).mean())


def _runtime(timing: Timing) -> dict[str, Measure]:
    if not timing.solo:
        return {}
    seconds = median(timing.solo)
    return {
        "runtime": Measure(seconds, "seconds", "lower", timing.retraining),
        "runtime_range": Measure(max(timing.solo) - min(timing.solo), "seconds", "lower"),
        "runtime_share": Measure(seconds / timing.retraining, "of retraining", "lower", 1.0),
        "budget_share": Measure(seconds / timing.allowance, "of budget", "lower"),
    }


def _over_budget(timing: Timing) -> list[str]:
    return ["over budget"] if timing.solo and median(timing.solo) > timing.allowance else []
