"""Epsilons for resampling: the challenge's rules without its grid of thresholds, several times as fast.

A reported score never comes from here: only how far it moves when models are drawn again does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.metrics.forgetting import BUFFER, CAP, PEAKY_RATIO, THRESHOLDS_PER_UNIT, epsilon_table, points
from bench.metrics.resampling import FEW_MODELS
from bench.outputs import Floats

SPAN = int(2 * BUFFER * THRESHOLDS_PER_UNIT) + 1  # right thresholds of the grid
CELLS = 2_000_000  # thresholds looked at together: 40 MB

Counts = NDArray[np.int64]


def approximate_score(unlearned: Floats, retrained: Floats, models: int) -> float:
    """The forgetting score by `approximate_epsilons`; `models` is the N of the score that is resampled."""
    return points(approximate_epsilons(unlearned, retrained), models)


def approximate_epsilons(unlearned: Floats, retrained: Floats) -> Floats:
    """Epsilon per example [E] of sides [N, E], on average within .01 of the grid's: thresholds are the confidences themselves.

    Above 64 models those are more than the grid has, and the grid is laid with equal steps, so that few thresholds must be
    looked up. NaN: undecided.

    >>> rng = np.random.default_rng(0)
    >>> unlearned, retrained = rng.normal(size=(2, 16, 50))
    >>> from bench.metrics.forgetting import epsilons
    >>> bool(np.abs(approximate_epsilons(unlearned, retrained) - epsilons(unlearned, retrained)).mean() < 0.01)
    True
    """
    ours, theirs = (np.sort(side.T, axis=1) for side in (unlearned, retrained))
    found = _by_grid(ours, theirs) if len(unlearned) > FEW_MODELS else _by_confidences(ours, theirs)
    width, other = (np.ptp(side, axis=1) for side in (ours, theirs))
    wider, narrower = np.maximum(width, other), np.minimum(width, other)
    constant = wider == 0
    found[np.isnan(found) & constant] = np.where(ours[:, 0] == theirs[:, 0], 0.0, CAP)[np.isnan(found) & constant]
    found[~constant & (narrower < PEAKY_RATIO * wider)] = CAP
    return np.minimum(found, CAP)


def _by_confidences(ours: Floats, theirs: Floats) -> Floats:
    """Sorted sides [E, N]; every cut between neighbouring confidences of either side is a threshold."""
    examples, models = ours.shape
    cells = (2 * models + 1) ** 2
    step = max(1, CELLS // cells)
    parts = [_cuts(ours[start : start + step], theirs[start : start + step]) for start in range(0, examples, step)]
    return np.concatenate(parts)


def _cuts(ours: Floats, theirs: Floats) -> Floats:
    models = ours.shape[1]
    pooled = np.concatenate([ours, theirs], axis=1)
    order = np.argsort(pooled, axis=1, kind="stable")
    values = np.take_along_axis(pooled, order, axis=1)
    below = np.zeros((2, len(ours), 2 * models + 1), dtype=np.int64)  # how many of either side lie below each cut
    np.cumsum(order < models, axis=1, out=below[0, :, 1:])
    below[1, :, 1:] = np.arange(1, 2 * models + 1) - below[0, :, 1:]
    edge = np.full((len(ours), 1), np.inf)
    left_of, right_of = np.concatenate([-edge, values], axis=1), np.concatenate([values, edge], axis=1)
    real = left_of < right_of  # no cut parts equal values
    rates = _flat_table(models)
    single = np.where(real, rates[_single(ours, theirs, below, models)], -1.0).max(axis=1)
    double = _double(ours, theirs, below, left_of, right_of, real, rates)
    best = np.maximum(single, double)
    return np.where(best < 0, np.nan, best)


def _single(ours: Floats, theirs: Floats, below: Counts, models: int) -> Counts:
    """Table rows of the rules "confidence above the cut means positive", [E, cuts]."""
    swap = ~_ours_positive(ours, theirs)[:, None]
    positive, negative = np.where(swap, below[1], below[0]), np.where(swap, below[0], below[1])
    index: Counts = (models - negative) * (models + 1) + positive
    return index


def _double(
    ours: Floats, theirs: Floats, below: Counts, left_of: Floats, right_of: Floats, real: NDArray[np.bool_], rates: Floats
) -> Floats:
    """Best epsilon of the rules "between two cuts means positive", the narrower side positive, in the grid's window."""
    models = ours.shape[1]
    swap = _theirs_narrower(ours, theirs)
    narrow, wide = np.where(swap[:, None], below[1], below[0]), np.where(swap[:, None], below[0], below[1])
    top = np.where(swap, theirs[:, -1], ours[:, -1])[:, None]
    width = np.where(swap, np.ptp(theirs, axis=1), np.ptp(ours, axis=1))[:, None]
    lowest, highest = np.maximum(left_of, top - BUFFER), np.minimum(right_of, top + BUFFER)  # where right thresholds may lie
    reachable = real & (lowest < highest)
    linear = models + wide * (models + 1) - narrow  # row of the table: linear in both cuts
    index = linear[:, :, None] - (linear - models)[:, None, :]
    allowed = reachable[:, :, None] & real[:, None, :]
    allowed &= right_of[:, None, :] >= (lowest - width - BUFFER)[:, :, None]
    allowed &= left_of[:, None, :] < (highest - width + BUFFER)[:, :, None]
    allowed &= np.tri(index.shape[1], dtype=bool)  # the left cut is not above the right one
    best: Floats = np.where(allowed, rates[np.where(allowed, index, 0)], -1.0).max(axis=(1, 2))
    return best


def _ours_positive(ours: Floats, theirs: Floats) -> NDArray[np.bool_]:
    """Whether the positive side of single thresholds is the unlearned one; sorted sides [..., N] -> [...]."""
    return np.asarray(np.median(ours, axis=-1) >= np.median(theirs, axis=-1))


def _theirs_narrower(ours: Floats, theirs: Floats) -> NDArray[np.bool_]:
    """Whether double thresholds are laid around the retrained side; of equally wide sides, around the negative one."""
    width, other = np.ptp(ours, axis=-1), np.ptp(theirs, axis=-1)
    return np.asarray((width > other) | ((width == other) & _ours_positive(ours, theirs)))


def _by_grid(ours: Floats, theirs: Floats) -> Floats:
    rates = _flat_table(ours.shape[1])
    rules = np.empty(SPAN * SPAN, np.int64), np.empty(SPAN * SPAN)  # fresh memory for each example takes longer than its search
    best = np.array([_grid(*sides, rates, *rules) for sides in zip(ours, theirs, strict=True)])
    return np.where(best < 0, np.nan, best)


def _grid(ours: Floats, theirs: Floats, rates: Floats, index: Counts, found: Floats) -> float:
    """Best epsilon of one example from sorted sides [N], on the grid's window with thresholds .01 apart.

    `index` and `found` [SPAN * SPAN] are overwritten.
    """
    models = len(ours)
    narrow, wide = (theirs, ours) if _theirs_narrower(ours, theirs) else (ours, theirs)
    width = np.ptp(narrow)
    first = narrow[-1] - BUFFER
    offsets = min(SPAN, int((width + BUFFER) * THRESHOLDS_PER_UNIT) + 1)  # left thresholds above the right one are empty rules
    right = first + np.arange(SPAN) / THRESHOLDS_PER_UNIT
    left = first - width - BUFFER + np.arange(SPAN + offsets - 1) / THRESHOLDS_PER_UNIT
    upper = np.searchsorted(wide, right, "right") * (models + 1) - np.searchsorted(narrow, right, "right") + models
    lower = np.searchsorted(wide, left) * (models + 1) - np.searchsorted(narrow, left)
    windows = np.lib.stride_tricks.sliding_window_view(lower, offsets)
    shape, rules = windows.shape, SPAN * offsets
    np.subtract(upper[:, None], windows, out=index[:rules].reshape(shape))
    double = np.take(rates, index[:rules], out=found[:rules], mode="clip").max()  # the other modes copy
    positive, negative = (ours, theirs) if _ours_positive(ours, theirs) else (theirs, ours)
    cuts = np.concatenate([ours, theirs])
    single = rates[(models - np.searchsorted(negative, cuts)) * (models + 1) + np.searchsorted(positive, cuts)].max()
    return float(max(single, double))


def _flat_table(models: int) -> Floats:
    """Epsilon by false positives * (N + 1) + false negatives; -1 where a threshold is discarded."""
    return np.nan_to_num(epsilon_table(models).astype(np.float64), nan=-1.0, posinf=CAP).ravel()
