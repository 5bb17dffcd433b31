"""Models that are more like retrained ones, or like each other, than chance has it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.distinguishability import exchanged_distances
from bench.outputs import Floats

EXCHANGES = 999
TIE = 1e-4  # of an example's mean gap between neighbouring models: smaller gaps count as this
ENDS = 16  # of as many models, the outermost on either side is left out of gaps


def closeness(unlearned: ArrayLike, retrained: ArrayLike) -> float:
    """How much less sides [N, E] differ than models exchanged at random do, in standard deviations of the latter.

    The statistic is that of `distinguishability`. A p-value cannot do this: of few models even exact copies are not rare, with a
    probability of at least 2^N / C(2N, N).

    >>> draws = np.random.default_rng(0).normal(size=(2, 16, 40))
    >>> abs(closeness(draws[0], draws[1])) < 3
    True
    >>> closeness(np.roll(draws[1], 1, axis=0), draws[1]) > 3
    True
    """
    distances = exchanged_distances(unlearned, retrained, EXCHANGES)
    spread = float(distances[1:].std())
    return float(distances[1:].mean() - distances[0]) / spread if spread > 0 else 0.0


def copies(unlearned: Floats, retrained: Floats) -> NDArray[np.bool_]:
    """Which unlearned models [N] deviate from the mean of all as some retrained one does: copies, also with noise or drift.

    Per model, what is particular to it (confidences less the mean over its side, in standard deviations) is correlated over
    examples with the same of every retrained model [N', E]. A copy is beyond halfway from the largest correlation between two
    retrained models to 1.

    >>> draws = np.random.default_rng(0).normal(size=(3, 4, 200))
    >>> copies(draws[0], draws[1]).tolist()
    [False, False, False, False]
    >>> copies(np.concatenate([draws[1][2:], draws[0][2:]]) + 0.3 * draws[2], draws[1]).tolist()
    [True, True, False, False]
    """
    ours, theirs = (particulars(side) for side in (unlearned, retrained))
    among = theirs @ theirs.T
    highest = among[~np.eye(len(among), dtype=bool)].max()
    found: NDArray[np.bool_] = (ours @ theirs.T).max(axis=1) > (1 + highest) / 2
    return found


def particulars(side: Floats) -> Floats:
    """What is particular to each model [N, E]: standardised over models, then centred and of length 1 over examples."""
    spread = side.std(axis=0)
    rows = np.divide(side - side.mean(axis=0), spread, out=np.zeros_like(side), where=spread > 0)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))


def log_gaps(confidences: ArrayLike) -> Floats:
    """Mean log of the gaps between neighbouring models, relative to the mean gap: [N, E] to [E].

    A smooth distribution gets about -.5 whatever its mean and spread, models that sit on a few levels far less. The outermost
    sixteenth of the models on either side, at least one, is left out.

    >>> even, pairs = np.arange(8.0)[:, None], np.repeat(np.arange(4.0), 2)[:, None]
    >>> float(log_gaps(even)[0]), float(log_gaps(pairs)[0]) < -3
    (0.0, True)
    """
    values = np.sort(np.asarray(confidences, dtype=np.float64), axis=0)
    ends = max(len(values) // ENDS, 1)
    gaps = np.diff(values[ends:-ends], axis=0)
    mean = gaps.mean(axis=0)
    relative = np.divide(gaps, mean, out=np.zeros_like(gaps), where=mean > 0)
    return np.asarray(np.log(np.maximum(relative, TIE)).mean(axis=0))
