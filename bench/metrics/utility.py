"""What a model is still good for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def accuracy(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """Share of right predictions per model, in [0, 1]: logits [..., n, K], labels [n] -> [...].

    >>> accuracy([[[2.0, 1.0], [2.0, 1.0]]], [0, 1]).tolist()
    [0.5]
    """
    right: Floats = (np.argmax(np.asarray(logits), axis=-1) == np.asarray(labels)).mean(axis=-1)
    return right


def final_score(forgetting: float, retain_ratio: float, test_ratio: float) -> float:
    """The challenge's final score: forgetting * (retain accuracy / retrained's) * (test accuracy / retrained's).

    The ratios are not capped at 1, as in the challenge (Triantafillou et al. 2024, arXiv:2406.09073, section 4).
    """
    return forgetting * retain_ratio * test_ratio
