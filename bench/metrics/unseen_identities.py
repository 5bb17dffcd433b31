"""Membership attack of MUFAC: forgotten people against people who were never seen, and the NoMUS score."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.membership import ATTACKED_MODELS, loss_attack
from bench.metrics.metric import Evidence, Findings, Metric, Models, PerModel, Quantity
from bench.outputs import Floats


def nomus(test_accuracy: ArrayLike, attack_accuracy: ArrayLike) -> Floats:
    """The normalised machine-unlearning score acc/2 + (1 - 2 |MIA - 1/2|)/2, in [0, 1].

    Source: Choi and Na 2023, arXiv:2311.02240.

    >>> nomus([1.0, 1.0], [0.5, 1.0]).tolist()
    [1.0, 0.5]
    """
    utility, attack = np.asarray(test_accuracy, dtype=np.float64), np.asarray(attack_accuracy, dtype=np.float64)
    score: Floats = utility / 2 + (1 - 2 * np.abs(attack - 0.5)) / 2
    return score


class UnseenIdentities(PerModel):
    """MUFAC's attack: can the loss of a forgotten person's photo be told from that of a person in no split?

    The starting kit's regression, with photos of unseen people in place of test; and NoMUS = acc/2 + (1 - 2 |MIA - 1/2|)/2 from
    test accuracy and that attack's accuracy. Of the first 64 models of each side, the mean.
    """

    version = 3
    source = "Choi and Na 2023, arXiv:2311.02240"
    pitfalls = (
        "Unseen people have no other photo in training, as forgotten people have none after retraining: the fair comparison when"
        " test shows known people. NoMUS takes 1/2 for the target, and rises when a part of the memory is put back: its target is"
        " what retrained models get."
    )
    quantities = (
        Quantity(
            "unseen_accuracy",
            "share",
            "as retrained",
            0,
            1,
            "accuracy of an attacker who tells forgotten people from people never seen by the loss",
            attack=True,
            family="attack",
            table="evidence",
            title="unseen MIA",
            folded=True,
        ),
        Quantity(
            "nomus", "score", "as retrained", 0, 1, "half test accuracy, half distance of the attack from 1/2", family="attack"
        ),
    )

    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """The attack on each of the first models; nothing if there are no unseen people."""
        if not models.labels["unseen"].size:
            return {}
        losses = (models.loss(split, ATTACKED_MODELS) for split in ("forget", "unseen"))
        accuracy = loss_attack(*losses)
        return {"unseen_accuracy": accuracy, "nomus": nomus(models.accuracy("test")[: len(accuracy)], accuracy)}

    def score(self, evidence: Evidence) -> Findings:
        """The means, or why there are none."""
        found = super().score(evidence)
        return found if found.estimates else Findings(notes=("there are no unseen people to tell the forgotten from",))


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the attack with unseen identities."""
    register(UnseenIdentities)
