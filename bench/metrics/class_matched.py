"""Membership attack of the SCRUB paper: logistic regression on the loss, against test examples of the forgotten classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bench.hookspecs import hookimpl
from bench.metrics.membership import ATTACKED_MODELS, loss_attack
from bench.metrics.metric import Metric, Models, PerModel, Quantity
from bench.outputs import Floats

SPLITS = 5
LARGEST_LOSS = 100.0


class ClassMatched(PerModel):
    """The SCRUB paper's attack: the starting kit's, against test examples of the forget set's classes only.

    Losses are clipped to +-100; logistic regression on a balanced sample, mean accuracy over 5 stratified shuffle splits with a
    tenth held out. Of the first 64 models of each side, the mean.

    >>> from bench.scoring.calibration import Population
    >>> retrained = Population.draw(20, seed=0).retrained(8)
    >>> {name: values.shape for name, values in ClassMatched().values(retrained, retrained).items()}
    {'class_matched_accuracy': (8,)}
    """

    version = 2
    source = "Kurmanji et al. 2023, arXiv:2302.09880, the basic attack, and its public code"
    pitfalls = "The same as the starting kit's wherever the forget set has all classes, as in the embedded task."
    quantities = (
        Quantity(
            "class_matched_accuracy",
            "share",
            "as retrained",
            0,
            1,
            "held-out accuracy of the attacker",
            attack=True,
            family="attack",
        ),
    )

    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """The attack on each of the first models."""
        same = np.isin(models.labels["test"], models.labels["forget"])
        losses = models.loss("forget", ATTACKED_MODELS), models.loss("test", ATTACKED_MODELS)[:, same]
        clipped = (np.clip(each, -LARGEST_LOSS, LARGEST_LOSS) for each in losses)
        return {"class_matched_accuracy": loss_attack(*clipped, splits=SPLITS)}


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the class-matched attack."""
    register(ClassMatched)
