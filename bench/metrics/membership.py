"""What membership attacks share: a logistic regression on the loss, and how a rate is read off scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.metric import Models, Quantity
from bench.metrics.resampling import seed_of_values
from bench.outputs import Floats
from bench.seeds import numpy_generator, purpose_seed

Rows = NDArray[np.int64]

ATTACKED_MODELS = 64  # the regressions look at the first models of each side: 11 ms per model, 10 splits of 240 losses


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
    matter.

    Args:
        forget: losses [M, n] of forget examples, finite.
        others: losses [M, k] of examples that were not trained on.
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
    samples = [np.concatenate([_shuffled(group)[:count] for group in pair]) for pair in zip(*groups, strict=True)]
    return np.array([_accuracy(sample[:, None], member, halves) for sample in samples])


def _accuracy(losses: Floats, member: NDArray[np.int64], halves: Sequence[tuple[Rows, Rows]]) -> float:
    """As `cross_val_score` tells it, which looks again and again at whether the same arrays are finite: twice the time."""
    from sklearn import config_context
    from sklearn.linear_model import LogisticRegression

    attacker = LogisticRegression()
    with config_context(assume_finite=True, skip_parameter_validation=True):
        told = [attacker.fit(losses[learnt], member[learnt]).predict(losses[rest]) == member[rest] for learnt, rest in halves]
    return float(np.mean([right.mean() for right in told]))


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

    >>> areas_under_curve([[2.0, 1.0]], [[0.0, 1.0]]).tolist()
    [0.875]
    """
    from sklearn.metrics import roc_auc_score

    groups = [np.asarray(group) for group in (members, others)]
    truth = np.repeat([1, 0], [group.shape[1] for group in groups])
    return np.array([roc_auc_score(truth, scores) for scores in np.concatenate(groups, axis=1)])


def halves_of_test(retrained: Models) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two random halves of the test split, the same for every model.

    Examples are ranked by their loss under the retrained models first, so that their order does not matter.
    """
    ranked = np.argsort(np.sort(retrained.loss("test"), axis=0).mean(axis=0), kind="stable")
    order = ranked[numpy_generator(0, "metric", 200).permutation(len(ranked))]
    return order[: len(order) // 2], order[len(order) // 2 :]
