"""RMIA: does the model favour a forget example more than it favours people's photos that were never trained on?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.membership import areas_under_curve, halves_of_test, rates, true_positive_rate
from bench.metrics.metric import Baseline, Evidence, Findings, Metric, Models, PerModel, Quantity, controls
from bench.outputs import Floats

OFFLINE = 0.3  # ours, where there is no original model to choose it on
OFFLINES = tuple(tenths / 10 for tenths in range(11))  # among which it is chosen: ml_privacy_meter
GAMMA = 1.0  # likewise
SMALLEST = 1e-300  # keeps a ratio of vanishing probabilities finite
MANY = 1000  # negatives that a rate of 0.1 % needs


def relative_likelihoods(probabilities: ArrayLike, reference: ArrayLike, offline: float = OFFLINE) -> Floats:
    """p(x | model) / p(x), with p(x) = ((1 + a) p_out + 1 - a) / 2 from models that never saw x.

    Args:
        probabilities: of the true class under the models attacked [M, n].
        reference: mean probability of the true class under models without x, [n] or [M, n].
        offline: a, in [0, 1]: how far probabilities under models without x are moved towards those of models with x.

    Returns:
        float64 [M, n], >= 0. Source: Zarifzadeh et al. 2024, arXiv:2312.03262, offline form.

    >>> relative_likelihoods([[0.35, 1.0]], [0.0, 1.0]).round(6).tolist()
    [[1.0, 1.0]]
    """
    marginal = ((1 + offline) * np.asarray(reference) + 1 - offline) / 2
    ratios: Floats = np.asarray(probabilities) / marginal
    return ratios


def rmia_scores(ratios: ArrayLike, population: ArrayLike) -> Floats:
    """Share of the population z that each x dominates: ratio(x) > gamma * ratio(z), gamma = 1.

    Args:
        ratios: relative likelihoods [M, n] of the examples in question.
        population: relative likelihoods [M, k] of examples that were not trained on.

    Returns:
        float64 [M, n] in [0, 1], high for members. Source: Zarifzadeh et al. 2024, arXiv:2312.03262.

    >>> rmia_scores([[2.0, 1.0]], [[1.0, 1.5]]).tolist()
    [[1.0, 0.0]]
    """
    ordered = np.sort(np.asarray(population, dtype=np.float64), axis=1)
    questions = np.asarray(ratios, dtype=np.float64) / GAMMA
    below = [np.searchsorted(row, values) for row, values in zip(ordered, questions, strict=True)]
    shares: Floats = np.array(below) / ordered.shape[1]
    return shares


def scores_against_test(models: Models, retrained: Models, offline: float, split: str = "forget") -> tuple[Floats, Floats]:
    """RMIA scores of a split [M, E] and of one half of test [M, n / 2]; the other half is the population."""
    ratios, test = _ratios(models, retrained, split, offline), _ratios(models, retrained, "test", offline)
    population, others = halves_of_test(retrained)
    known = test[:, population]
    return rmia_scores(ratios, known), rmia_scores(test[:, others], known)


def chosen_offline(original: Models | None, retrained: Models) -> float:
    """The a with the largest area under the curve for a model whose members are known: the original; of equal ones the smallest.

    Source: privacytrustlab/ml_privacy_meter chooses it on one of its reference models, among the same values.
    """
    if original is None:
        return OFFLINE
    forget, test = (_probabilities(original, retrained, split) for split in ("forget", "test"))
    population, others = halves_of_test(retrained)
    areas = []
    for offline in OFFLINES:
        ratios, known = (relative_likelihoods(*each, offline) for each in (forget, test))
        scores = [rmia_scores(each, known[:, population]) for each in (ratios, known[:, others])]
        areas.append(areas_under_curve(*scores).mean())
    return OFFLINES[int(np.argmax(areas))]


class RMIA(PerModel):
    """RMIA: how often a forget example's likelihood ratio dominates that of photos from the population.

    ratio(x) = p(x | model) / p(x), where p is the probability of the true class and p(x) comes from the retrained models, which
    are all without x, moved by a towards what models with x give; a is chosen among 0, 0.1 .. 1 on the original model. The score
    of x is the share of population photos z with ratio(x) > ratio(z). Population: one half of test.
    The attack must tell forget examples from the other half of test; AUC and true positive rates per model, means over models. A
    retrained model is attacked with the other N - 1 as references.
    """

    version = 3
    source = "Zarifzadeh et al. 2024, arXiv:2312.03262, offline form; a and gamma = 1 as in privacytrustlab/ml_privacy_meter"
    pitfalls = (
        "A rate at 1 % of a few hundred test photos rests on a handful of them. Test photos may show people whom the model knows:"
        " retrained models are not at 0.5."
    )
    quantities = (
        Quantity(
            "rmia_auc",
            "probability",
            "as retrained",
            0,
            1,
            "a forget example's score is above a test example's",
            attack=True,
            family="attack",
            table="evidence",
            title="RMIA",
            folded=True,
        ),
        *rates("rmia"),
    )

    def __init__(self, offline: float = OFFLINE) -> None:
        self.offline = offline

    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """AUC and rates of each model."""
        members, negatives = scores_against_test(models, retrained, self.offline)
        found = {"rmia_auc": areas_under_curve(members, negatives), "rmia_tpr_1": _rates(members, negatives, 0.01)}
        if negatives.shape[1] >= MANY:
            found["rmia_tpr_01"] = _rates(members, negatives, 0.001)
        return found

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """Also on people who are not forgotten."""
        tuned = RMIA(chosen_offline(original, retrained))
        found = PerModel.baseline(tuned, retrained, original)
        return replace(found, controls=tuned._on_controls(retrained, retrained))

    def score(self, evidence: Evidence) -> Findings:
        """Likewise."""
        tuned = RMIA(chosen_offline(evidence.original, evidence.retrained))
        found = PerModel.score(tuned, evidence)
        beside = tuned._on_controls(evidence.unlearned, evidence.retrained)
        how = "chosen on the original model" if evidence.original else "ours, as there is no original model to choose it on"
        return replace(found, controls=beside, notes=(f"a = {tuned.offline:.1f}, {how}",))

    def _on_controls(self, models: Models, retrained: Models) -> dict[str, dict[str, float]]:
        """AUC of people who are not forgotten, in the place of the forgotten; test is what they are told from."""
        found = {}
        for split in controls(retrained):
            if split != "test":
                members, negatives = scores_against_test(models, retrained, self.offline, split)
                found[split] = {"rmia_auc": float(areas_under_curve(members, negatives).mean())}
        return found


def _ratios(models: Models, retrained: Models, split: str, offline: float) -> Floats:
    return relative_likelihoods(*_probabilities(models, retrained, split), offline)


def _probabilities(models: Models, retrained: Models, split: str) -> tuple[Floats, Floats]:
    """Of the true class: under models [M, n], and the mean under retrained models, for each of these without itself."""
    probabilities = np.maximum(np.exp(-models.loss(split)), SMALLEST)
    if models is not retrained:
        return probabilities, np.exp(-retrained.loss(split)).mean(axis=0)
    return probabilities, (probabilities.sum(axis=0) - probabilities) / (len(probabilities) - 1)


def _rates(members: Floats, others: Floats, false_positive_rate: float) -> Floats:
    return np.array([true_positive_rate(*rows, false_positive_rate) for rows in zip(members, others, strict=True)])


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register RMIA."""
    register(RMIA)
