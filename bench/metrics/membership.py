"""What membership attacks share: a logistic regression on the loss, and how a rate is read off scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.metric import Models, Quantity
from bench.metrics.resampling import seed_of_values
from bench.outputs import Floats
from bench.seeds import numpy_generator, purpose_seed

ATTACKED_MODELS = 64  # the regressions look at the first models of each side
MOST_STEPS, MOST_HALVINGS = 100, 30  # of Newton's method: 6 to 10 steps where losses are below 10, 30 where they are 1,000
SMALLEST_STEP = 1e-10


def rates(attack: str) -> tuple[Quantity, Quantity]:
    """The quantities NAME_tpr_1 and NAME_tpr_01 of an attack: what it finds while it hardly errs."""
    meanings = {"1": "true positive rate at 1 % false positives", "01": "true positive rate at 0.1 %, from 1000 negatives on"}
    one, tenth = (
        Quantity(f"{attack}_tpr_{percent}", "share", "as retrained", 0, 1, meaning, attack=True, family="attack")
        for percent, meaning in meanings.items()
    )
    return one, tenth


def loss_attack(forget: ArrayLike, others: ArrayLike, *, splits: int = 10) -> Floats:
    """Accuracy of a logistic regression that tells forget examples from others by their loss, per model.

    Mean over `splits` stratified shuffle splits of a balanced sample, a tenth held out (the NeurIPS 2023 challenge's starting
    kit, `simple_mia`). Losses are sorted and then shuffled with a seed of their own, so that the order of examples does not
    matter. The regression is scikit-learn's (C = 1, the intercept is free), of all models at once and up to rounding: the
    kit's solver, which stops sooner, tells one or two examples in 10,000 differently, in 25 times the time.

    Args:
        forget: losses [M, n] of forget examples, finite, of one model at least.
        others: losses [M, k] of examples that were not trained on; of either group 6 examples at least.
        splits: number of splits.

    Returns:
        float64 [M] in [0, 1]. The value to compare with is that of retrained models, not 0.5.

    >>> loss_attack([np.zeros(20)], [np.full(30, 9.0)]).tolist()
    [1.0]
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    groups = np.asarray(forget, dtype=np.float64), np.asarray(others, dtype=np.float64)
    count = min(group.shape[-1] for group in groups)
    member = np.repeat([1, 0], count)
    folds = StratifiedShuffleSplit(n_splits=splits, test_size=0.1, random_state=purpose_seed(0, "attack"))
    halves = list(folds.split(member, member))  # rows to learn from and rows to tell, the same for every model
    samples = np.array([np.concatenate([_shuffled(group)[:count] for group in pair]) for pair in zip(*groups, strict=True)])
    told = [_told(*_regression(samples[:, learnt], member[learnt]), samples[:, rest]) == member[rest] for learnt, rest in halves]
    accuracies: Floats = np.mean([right.mean(axis=1) for right in told], axis=0)
    return accuracies


def _told(weights: Floats, intercepts: Floats, losses: Floats) -> NDArray[np.bool_]:
    """Who is taken for a member [M, n]."""
    return _logits(weights, intercepts, losses) > 0


def _regression(losses: Floats, member: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Weights and intercepts [M] of logistic regressions on one number each: losses [M, n], members [n] in {0, 1}.

    They minimise sum(log loss) + weight^2 / 2. Newton's method from zero; a step that makes it worse is halved.
    """
    weights, intercepts = np.zeros((2, len(losses)))
    cost = _cost(weights, intercepts, losses, member)
    for _ in range(MOST_STEPS):
        steps = _newton_steps(weights, intercepts, losses, member)
        for _ in range(MOST_HALVINGS):
            then = _cost(weights - steps[0], intercepts - steps[1], losses, member)
            worse = then > cost * (1 + 1e-12)
            if not worse.any():
                break
            steps[:, worse] /= 2
        weights, intercepts, cost = weights - steps[0], intercepts - steps[1], then
        if np.abs(steps).max(initial=0.0) < SMALLEST_STEP:
            break
    return weights, intercepts


def _logits(weights: Floats, intercepts: Floats, losses: Floats) -> Floats:
    return weights[:, None] * losses + intercepts[:, None]


def _cost(weights: Floats, intercepts: Floats, losses: Floats, member: NDArray[np.int64]) -> Floats:
    logits = _logits(weights, intercepts, losses)
    cost: Floats = (np.logaddexp(0, logits) - member * logits).sum(axis=1) + weights**2 / 2
    return cost


def _newton_steps(weights: Floats, intercepts: Floats, losses: Floats, member: NDArray[np.int64]) -> Floats:
    """The inverse of the second derivatives, two by two, times the first ones: [2, M] for weights and intercepts."""
    from scipy.special import expit

    chance = expit(_logits(weights, intercepts, losses))
    error, curvature = chance - member, chance * (1 - chance)
    first = (error * losses).sum(axis=1) + weights, error.sum(axis=1)
    both, mixed, plain = (curvature * losses**2).sum(axis=1) + 1, (curvature * losses).sum(axis=1), curvature.sum(axis=1)
    steps: Floats = np.array([plain * first[0] - mixed * first[1], both * first[1] - mixed * first[0]])
    steps /= both * plain - mixed**2
    return steps


def _shuffled(losses: ArrayLike) -> Floats:
    """Losses [n] in a random order that does not depend on the order they came in."""
    values = np.sort(np.asarray(losses, dtype=np.float64))
    return numpy_generator(seed_of_values(values), "metric", 1).permutation(values)


def true_positive_rate(members: ArrayLike, others: ArrayLike, false_positive_rate: float) -> float:
    """Share of members whose score is above a threshold that at most that share of the others exceeds.

    >>> true_positive_rate([3.0, 1.0], [0.0, 2.0], false_positive_rate=0.0)
    0.5
    """
    scores = np.sort(np.asarray(others, dtype=np.float64))
    allowed = int(false_positive_rate * len(scores))
    return float((np.asarray(members) > scores[len(scores) - 1 - allowed]).mean())


def roc_curve(members: ArrayLike, others: ArrayLike, false_positive_rates: ArrayLike) -> Floats:
    """`true_positive_rate` at every one of the rates [r], which are in [0, 1]; 1 at a rate of 1.

    >>> roc_curve([3.0, 1.0], [0.0, 2.0], [0.0, 0.5, 1.0]).tolist()
    [0.5, 1.0, 1.0]
    """
    scores, rates = np.sort(np.asarray(others, dtype=np.float64)), np.asarray(false_positive_rates)
    allowed = (rates * len(scores)).astype(np.int64)
    thresholds = np.where(allowed < len(scores), scores[np.maximum(len(scores) - 1 - allowed, 0)], -np.inf)
    ranked = np.sort(np.asarray(members, dtype=np.float64))
    shares: Floats = (len(ranked) - np.searchsorted(ranked, thresholds, side="right")) / len(ranked)
    return shares


def areas_under_curve(members: ArrayLike, others: ArrayLike) -> Floats:
    """Probability that a member's score is above another's, ties by half, per model: [M, n] and [M, k] -> [M].

    That is Mann and Whitney's statistic over the number of pairs, all models at once; scikit-learn's `roc_auc_score` tells the
    same of one model in 2 ms.

    >>> areas_under_curve([[2.0, 1.0]], [[0.0, 1.0]]).tolist()
    [0.875]
    """
    from scipy.stats import rankdata

    groups = [np.asarray(group) for group in (members, others)]
    (count, rest), together = (group.shape[1] for group in groups), np.concatenate(groups, axis=1)
    ranks = rankdata(together, axis=1)[:, :count]
    areas: Floats = (ranks.sum(axis=1) - count * (count + 1) / 2) / (count * rest)
    return areas


def halves_of_test(retrained: Models) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two random halves of the test split, the same for every model.

    Examples are ranked by their loss under the retrained models first, so that their order does not matter.
    """
    ranked = np.argsort(np.sort(retrained.loss("test"), axis=0).mean(axis=0), kind="stable")
    order = ranked[numpy_generator(0, "metric", 200).permutation(len(ranked))]
    return order[: len(order) // 2], order[len(order) // 2 :]
