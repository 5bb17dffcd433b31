"""Tug of war: one number for how near a model's accuracies are to those of retrained ones on all three fronts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.metric import Metric, Models, PerModel, Quantity
from bench.outputs import Floats


def tug_of_war(unlearned: ArrayLike, retrained: ArrayLike) -> Floats:
    """Product over splits of 1 - |accuracy - retrained accuracy|.

    Args:
        unlearned: accuracies [M, S] in [0, 1], of splits such as forget, retain and test.
        retrained: those of retrained models, [S] or [M, S].

    Returns:
        float64 [M] in [0, 1]; 1 is as retrained. Source: Zhao et al. 2024, arXiv:2406.01257.

    >>> tug_of_war([[1.0, 1.0, 0.5]], [0.5, 1.0, 0.5]).tolist()
    [0.5]
    """
    apart = np.abs(np.asarray(unlearned, dtype=np.float64) - np.asarray(retrained, dtype=np.float64))
    return np.asarray((1 - apart).prod(axis=-1))


class TugOfWar(PerModel):
    """ToW: how near forget, retain and test accuracy are to those of retrained models, multiplied; 1 is as retrained.

    Per model, the product over the three splits of 1 - |accuracy - mean accuracy of retrained models|; the mean over models. A
    retrained model is compared with the mean of the others.
    """

    source = "Zhao et al. 2024, arXiv:2406.01257"
    pitfalls = (
        "Accuracies only: confidences, which give members away, and the spread between trials do not count. It treats a gap on"
        " forget like one of the same size on test."
    )
    quantities = (
        Quantity(
            "tow", "score", "higher", 0, 1, "nearness of forget, retain and test accuracy to retrained models", family="utility"
        ),
    )

    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """Of each model."""
        ours, theirs = _accuracies(models), _accuracies(retrained)
        if models is retrained:
            return {"tow": tug_of_war(ours, (theirs.sum(axis=0) - theirs) / (len(theirs) - 1))}
        return {"tow": tug_of_war(ours, theirs.mean(axis=0))}


def _accuracies(models: Models) -> Floats:
    """[M, 3]."""
    return np.stack([models.accuracy("forget"), models.outputs.retain_accuracy, models.accuracy("test")], axis=1)


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register ToW."""
    register(TugOfWar)
