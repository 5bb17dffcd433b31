"""Membership inference: can an attacker tell a forget example from one that was never trained on?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

Floats = NDArray[np.float64]


def balanced_rows(members: int, others: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of either group that make a balanced sample: as many of each as the smaller group has."""
    count = min(members, others)
    return tuple(np.sort(generator.choice(size, count, replace=False)) for size in (members, others))  # type: ignore[return-value]


def loss_attack(forget: ArrayLike, test: ArrayLike, *, splits: int = 10, seed: int = 0) -> Floats:
    """Accuracy of a logistic regression on the loss, per model: the starting kit's attack.

    Mean over `splits` stratified shuffle splits with a tenth held out. Source: the NeurIPS 2023 challenge's starting kit,
    `simple_mia`. The value to compare with is that of retrained models, not 0.5.

    Args:
        forget: cross-entropies [M, n] of forget examples, finite.
        test: cross-entropies [M, n] of as many held-out examples.
        splits: number of splits.
        seed: of the splits, the same for every model.

    Returns:
        float64 [M] in [0, 1].

    >>> loss_attack([np.zeros(20)], [np.full(20, 9.0)]).tolist()
    [1.0]
    """
    member = np.repeat([1, 0], np.shape(forget)[-1])
    folds = StratifiedShuffleSplit(n_splits=splits, test_size=0.1, random_state=seed)
    features = np.concatenate([np.asarray(forget), np.asarray(test)], axis=-1)[..., None]
    return np.array([cross_val_score(LogisticRegression(), sample, member, cv=folds).mean() for sample in features])
