"""Mean margin of the forget examples, beside retrained models."""

from bench import hookimpl
from bench.metrics.metric import PerModel, Quantity


class MeanMargin(PerModel):
    """The mean logit-scaled confidence of the forget set, averaged over models."""

    source = "a test, 2026"
    pitfalls = "A mean hides a few people who are remembered well."
    quantities = (
        Quantity(
            "mean_margin",
            "nats",
            "as retrained",
            float("-inf"),
            float("inf"),
            "mean confidence of the forget examples",
            family="forgetting",
            table="evidence",
            title="margin",
            decimals=1,
        ),
    )

    def values(self, models, retrained):
        """One number per model."""
        return {"mean_margin": models.confidence.mean(axis=1)}


@hookimpl
def register_metrics(register):
    """Register the metric."""
    register(MeanMargin)
