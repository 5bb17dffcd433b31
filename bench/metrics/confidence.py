"""What a model believes of an example's true class, from its logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.outputs import Floats

LARGEST_LOGIT = 745.0  # beyond it, exp is 0


def logit_scaled_confidence(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """The logit log p_y - log(sum of the other p): how surely the true class y is chosen, on a scale where it is near-normal.

    Args:
        logits: [..., n, K], K >= 2.
        labels: integers [n] in 0..K-1.

    Returns:
        float64 [..., n], unbounded. Source: Carlini et al. 2022, arXiv:2112.03570, section VI.B; from a log-sum-exp, so
        that it saturates nowhere (the challenge's published code does at +-103).

    >>> float(logit_scaled_confidence([[0.0, 0.0]], [1])[0])
    0.0
    >>> float(logit_scaled_confidence([[1000.0, 0.0]], [0])[0])
    1000.0
    """
    from scipy.special import logsumexp

    scores = np.array(logits, dtype=np.float64)
    index = np.broadcast_to(np.asarray(labels)[:, None], (*scores.shape[:-1], 1))
    true = np.take_along_axis(scores, index, -1)
    np.put_along_axis(scores, index, -np.inf, -1)
    confidence: Floats = true[..., 0] - logsumexp(scores, axis=-1)
    return confidence


def class_confidences(logits: ArrayLike) -> Floats:
    """The logit log p_c - log(1 - p_c) of every class: logits [..., n, K] -> float64 [..., n, K], within +-745.

    Exact where p_c is next to 1, unlike a logarithm of 1 - p_c.

    >>> class_confidences([[30.0, 0.0]]).tolist()
    [[30.0, -30.0]]
    """
    scores = np.asarray(logits, dtype=np.float64)
    scores = scores - scores.max(axis=-1, keepdims=True)
    top = scores.argmax(axis=-1)[..., None]
    shares = np.exp(scores)
    np.put_along_axis(shares, top, 0.0, -1)
    rest = shares.sum(axis=-1, keepdims=True)  # of all but the most likely class, which has 1
    others = 1.0 + rest - shares
    np.put_along_axis(others, top, np.maximum(rest, np.exp(-LARGEST_LOGIT)), -1)
    confidences: Floats = np.clip(scores - np.log(others), -LARGEST_LOGIT, LARGEST_LOGIT)
    return confidences


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """The loss -log p_y in nats: logits [..., n, K], labels [n] -> float64 [..., n], >= 0."""
    from scipy.special import log_softmax

    scores = np.asarray(logits, dtype=np.float64)
    index = np.broadcast_to(np.asarray(labels)[:, None], (*scores.shape[:-1], 1))
    losses: Floats = -np.take_along_axis(log_softmax(scores, axis=-1), index, -1)[..., 0]
    return losses
