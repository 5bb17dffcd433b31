"""Membership attack of the challenge's starting kit: logistic regression on the loss, forget against test."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.hookspecs import hookimpl
from bench.metrics.membership import ATTACKED_MODELS, loss_attack
from bench.metrics.metric import Metric, Models, PerModel, Quantity
from bench.outputs import Floats


class StartingKit(PerModel):
    """The starting kit's attack: can the loss of a forget example be told from that of a test example?

    A balanced sample of forget and test; one feature, the cross-entropy; logistic regression; mean accuracy over 10 stratified
    shuffle splits with a tenth held out. Of the first 64 models of each side, the mean.

    >>> from bench.scoring.calibration import Population
    >>> population = Population.draw(20, seed=0)
    >>> retrained = population.retrained(8)
    >>> {name: values.shape for name, values in StartingKit().values(population.original(), retrained).items()}
    {'starting_kit_accuracy': (1,)}
    """

    version = 2
    source = "NeurIPS 2023 Machine Unlearning Challenge, starting kit, simple_mia"
    pitfalls = (
        "Forget and test photos can differ for other reasons than training, so that retrained models are not at 0.5: read"
        " the gap. One threshold for all examples and one model at a time: weak, and blind where forget losses are as mixed as"
        " those of test."
    )
    quantities = (
        Quantity(
            "starting_kit_accuracy",
            "share",
            "as retrained",
            0,
            1,
            "accuracy of an attacker who tells forgotten from new photos by their loss",
            attack=True,
            family="attack",
            table="evidence",
            title="loss MIA",
            folded=True,
        ),
    )

    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """The attack on each of the first models."""
        losses = (models.loss(split, ATTACKED_MODELS) for split in ("forget", "test"))
        return {"starting_kit_accuracy": loss_attack(*losses)}


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the starting kit's attack."""
    register(StartingKit)
