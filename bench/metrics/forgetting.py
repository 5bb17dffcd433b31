"""The challenge's forgetting score, exactly.

Source: google-deepmind/unlearning_evaluation, `metric.py`; docs/reference/protocol.md describes the protocol. An attacker sees
the logit-scaled confidence of one forget example under one model and guesses whether the model was unlearned or
retrained; epsilon is the best that a threshold rule does, over all examples and models of both sides.

The published code compares every confidence with every threshold. Here the confidences are sorted once and each threshold
is looked up by binary search, which gives the same counts, hence the same epsilons, in a three-hundredth of the time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.outputs import Floats

DELTA = 1e-5
CAP = 50.0
THRESHOLDS_PER_UNIT = 100
BUFFER = 2.0  # how far double thresholds reach beyond the narrower side
BIN_WIDTH = 0.5
PEAKY_RATIO = 0.01  # a side narrower than this share of the other is told apart outright
WIDEST = 1e4  # no single thresholds are laid over a wider range: the published pipeline's confidences span 206 at most
COARSEST = 1e9  # no double thresholds beside a wider side: float64 can no longer place them

Rates = NDArray[np.float32]
Counts = NDArray[np.int64]


def forgetting_score(unlearned: ArrayLike, retrained: ArrayLike) -> float:
    """Mean points over forget examples: 1 for epsilon below 0.5, half as much for each further bin of 0.5.

    Args:
        unlearned: logit-scaled confidences [N, E] of E forget examples under N unlearned models.
        retrained: the same under N retrained models; N >= 2, all finite.

    Returns:
        A score in [0, 1], higher is better; retrained against retrained scores about .17 to .19, not 1, and scores at
        different N do not compare. Undecided examples (see `epsilons`) earn nothing.

    >>> rng = np.random.default_rng(0)
    >>> retrained = rng.normal(size=(64, 20))
    >>> forgetting_score(retrained + 20.0, retrained)
    0.0
    """
    values = epsilons(unlearned, retrained)
    return points(values, models=len(np.asarray(unlearned)))


def points(epsilon: ArrayLike, models: int) -> float:
    """The forgetting score of given epsilons [E] at N = `models`; NaN (undecided) earns 0."""
    values = np.asarray(epsilon, dtype=np.float64)
    bins = np.floor(np.nan_to_num(values, nan=CAP) / BIN_WIDTH)
    paid = bins < 2 * np.ceil(np.log(models - 1))
    return float(np.where(paid, 0.5**bins, 0.0).mean())


def epsilons(unlearned: ArrayLike, retrained: ArrayLike) -> Floats:
    """The attacker's epsilon per forget example: two arrays [N, E] -> float64 [E] in [0, 50].

    NaN marks an undecided example: no threshold had both error rates above zero, nor both zero, and the sides are not constant.

    Raises:
        ValueError: arrays of different or wrong shape, N < 2, or values that are not finite (model and example are named).
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (unlearned, retrained)]
    _check(*sides)
    table = epsilon_table(len(sides[0]))
    ordered = [np.sort(side, axis=0) for side in sides]
    return np.array([_epsilon(ours, theirs, table) for ours, theirs in zip(*(side.T for side in ordered), strict=True)])


def peaky(unlearned: ArrayLike, retrained: ArrayLike) -> NDArray[np.bool_]:
    """Which of the examples [E] of two arrays [N, E] have one side much narrower than the other, so epsilon 50."""
    widths = [np.ptp(np.asarray(side, dtype=np.float64), axis=0) for side in (unlearned, retrained)]
    found: NDArray[np.bool_] = np.minimum(*widths) < PEAKY_RATIO * np.maximum(*widths)
    return found


def _check(unlearned: Floats, retrained: Floats) -> None:
    if unlearned.shape != retrained.shape or unlearned.ndim != 2:
        raise ValueError(f"confidences must be two arrays [N, E] of one shape, not {unlearned.shape} and {retrained.shape}")
    if unlearned.shape[0] < 2 or unlearned.shape[1] < 1:
        raise ValueError(f"at least 2 models and 1 example are needed, not {unlearned.shape}")
    for name, side in (("unlearned", unlearned), ("retrained", retrained)):
        bad = np.argwhere(~np.isfinite(side))
        if len(bad):
            model, example = bad[0]
            raise ValueError(f"the confidence of example {example} under {name} model {model} is {side[model, example]}")


def _epsilon(unlearned: Floats, retrained: Floats, table: Rates) -> float:
    """Epsilon of one example from sorted confidences [N] of either side."""
    positive, negative = (retrained, unlearned) if np.median(retrained) > np.median(unlearned) else (unlearned, retrained)
    narrower, wider = sorted((np.ptp(positive), np.ptp(negative)))
    if narrower < PEAKY_RATIO * wider:
        return CAP
    errors = (_double_threshold_errors(positive, negative), _single_threshold_errors(positive, negative))
    found = np.concatenate([table[counts] for counts in errors])
    decided = found[~np.isnan(found)]
    if decided.size:
        return float(min(decided.max(), CAP))
    if wider == 0:  # both sides constant
        return 0.0 if positive[0] == negative[0] else CAP
    return float("nan")


def _double_threshold_errors(positive: Floats, negative: Floats) -> tuple[Counts, Counts]:
    """False positives and false negatives of the rules "left <= confidence <= right means positive".

    Here the narrower side is the positive one. `min + width - BUFFER` and its like keep the published code's order of
    operations, which decides ties.
    """
    if np.ptp(positive) >= np.ptp(negative):
        positive, negative = negative, positive
    width = np.ptp(positive)
    if width > COARSEST:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    low, high = positive[0] + width - BUFFER, positive[-1] + BUFFER
    right = np.linspace(low, high, int(np.ceil((high - low) * THRESHOLDS_PER_UNIT)))
    left = np.linspace(right - width - BUFFER, right - width + BUFFER, int(np.ceil(2 * BUFFER * THRESHOLDS_PER_UNIT)))

    def inside(side: Floats) -> Counts:
        within = np.searchsorted(side, right, "right") - np.searchsorted(side, left, "left")
        counts: Counts = np.maximum(within, 0).ravel()  # left can lie above right, an empty interval
        return counts

    return inside(negative), len(positive) - inside(positive)


def _single_threshold_errors(positive: Floats, negative: Floats) -> tuple[Counts, Counts]:
    """False positives and false negatives of the rules "threshold <= confidence means positive"."""
    low, high = min(positive[0], negative[0]), max(positive[-1], negative[-1])
    if high - low > WIDEST:
        thresholds = np.concatenate([positive, negative])
    else:
        thresholds = _float32_linspace(low, high, int(np.ceil((high - low) * THRESHOLDS_PER_UNIT)))
    return len(negative) - np.searchsorted(negative, thresholds), np.searchsorted(positive, thresholds)


def _float32_linspace(low: float, high: float, count: int) -> Floats:
    """torch.linspace in its default precision: from both ends, each value rounded once (a fused multiply-add)."""
    start, stop = np.float32(low), np.float32(high)
    if count < 2:
        return np.full(count, start, dtype=np.float64)
    index = np.arange(count)
    step = np.float64((stop - start) / np.float32(count - 1))
    values = np.where(index < count // 2, start + step * index, stop - step * (count - 1 - index))
    return values.astype(np.float32).astype(np.float64)


@lru_cache(maxsize=8)
def epsilon_table(models: int) -> Rates:
    """Epsilon by counts [false positives, false negatives], float32 [N+1, N+1]; NaN where a threshold is discarded.

    Exactly one error rate at zero is a sign of too few samples, so those thresholds are discarded; both at zero is perfect
    separation. A logarithm of a negative number (a rate of 1) leaves the other term to decide.
    """
    rates: Rates = np.arange(models + 1, dtype=np.float32) / np.float32(models)
    positives, negatives = rates[:, None], rates[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.log(1 - DELTA - positives) - np.log(negatives)
        other = np.log(1 - DELTA - negatives) - np.log(positives)
    table: Rates = np.maximum(np.fmax(one, other), np.float32(0))  # fmax passes over NaN, maximum keeps it
    table[0, :] = table[:, 0] = np.nan
    table[0, 0] = np.inf
    table.flags.writeable = False
    return table
