"""Whether confidences on test mean what they say: calibration error and likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.metric import Metric, Models, PerModel, Quantity
from bench.outputs import Floats

BINS = 15


def calibration_error(confidences: ArrayLike, right: ArrayLike, bins: int = BINS) -> Floats:
    """Expected calibration error with bins of equal mass.

    Args:
        confidences: probability of the predicted class [M, n].
        right: whether the prediction is right [M, n].
        bins: as many groups of neighbouring confidences, of sizes that differ by one at most.

    Returns:
        float64 [M] in [0, 1]: mean over bins, weighted by size, of |mean confidence - share of right predictions|.
        Source: Naeini et al. 2015, with the bins of Nixon et al. 2019, arXiv:1904.01685.

    >>> calibration_error([[0.9, 0.6]], [[True, False]], bins=1).round(3).tolist()
    [0.25]
    """
    values, hits = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    order = np.argsort(values, axis=-1, kind="stable")
    gaps = np.take_along_axis(values - hits, order, axis=-1)
    return np.asarray(sum(np.abs(part.sum(axis=-1)) for part in np.array_split(gaps, bins, axis=-1)) / values.shape[-1])


class CalibrationError(PerModel):
    """Whether confidences on test photos mean what they say: expected calibration error and negative log-likelihood.

    The error has 15 bins of equal mass over the probability of the predicted class; the likelihood is that of the true class.
    Means over models.
    """

    source = "Naeini et al. 2015; bins of equal mass: Nixon et al. 2019, arXiv:1904.01685"
    pitfalls = (
        "Retrained models may be over-confident themselves, and of few test photos the error is above 0 even where confidences"
        " mean what they say: compare with the retrained models' value."
    )
    quantities = (
        Quantity(
            "calibration_error",
            "probability",
            "as retrained",
            0,
            1,
            "mean gap between confidence and accuracy on test, 15 bins",
            family="utility",
        ),
        Quantity("test_log_loss", "nats", "lower", 0, np.inf, "mean negative log-likelihood on test", family="utility"),
    )

    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """Of each model."""
        from scipy.special import softmax

        confidences = softmax(models.outputs.logits["test"].astype(np.float64), axis=-1).max(axis=-1)
        right = models.predictions("test") == models.labels["test"]
        return {"calibration_error": calibration_error(confidences, right), "test_log_loss": models.loss("test").mean(axis=-1)}


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register calibration on test."""
    register(CalibrationError)
