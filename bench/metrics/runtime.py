"""How long unlearning takes, beside retraining and beside the budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.hookspecs import hookimpl
from bench.metrics.metric import Estimate, Evidence, Findings, Metric, Quantity
from bench.metrics.resampling import Z


class Runtime(Metric):
    """Time of the timed trials: one model, nothing else of ours on the device; the median of three to nine.

    Compared with the median of epochs of retraining right before and right after each, all on the clock of the budget: CPU
    seconds of the worker on a CPU, wall seconds between two synchronisations on a GPU. Seconds are the share of a retraining
    times what one takes at the fastest that was seen on this device, as on a machine that nobody else uses. A row whose share
    is more than a tenth above the budget is badged `over budget` and not ranked.

    >>> from bench.metrics.metric import Timing
    >>> evidence = Evidence(None, None, Timing([1.0, 2.0, 4.0], [(9.0, 11.0)] * 3, allowed=0.2, retraining=10.0))
    >>> Runtime().score(evidence).estimates["speed_up"].value
    5.0
    """

    quick = True
    source = "design of the NeurIPS 2023 challenge: about a fifth of the retraining time, on the same device"
    version = 2
    pitfalls = (
        "Shares of single trials differ by up to a tenth even on a quiet machine; docs/evidence/runtime.md has the figures."
    )
    quantities = (
        Quantity(
            "runtime",
            "seconds",
            "lower",
            0,
            np.inf,
            "median of the timed trials, at the speed of a quiet machine",
            family="runtime",
            table="results",
            decimals=2,
        ),
        Quantity("runtime_iqr", "seconds", "lower", 0, np.inf, "interquartile range of the timed trials", family="runtime"),
        Quantity(
            "runtime_share",
            "of retraining",
            "lower",
            0,
            np.inf,
            "runtime as a share of one retraining",
            family="runtime",
            table="results",
            title="of retraining",
            decimals=2,
            folded=True,
        ),
        Quantity("speed_up", "times", "higher", 0, np.inf, "one retraining / runtime", family="runtime", decimals=1),
        Quantity(
            "budget_share",
            "of budget",
            "lower",
            0,
            np.inf,
            "runtime as a share of what is allowed",
            family="runtime",
            table="results",
            title="of budget",
            decimals=2,
        ),
        Quantity(
            "peak_memory",
            "bytes",
            "lower",
            0,
            np.inf,
            "most device memory of a timed trial, median; on a CPU, of its process",
            family="runtime",
        ),
    )

    def score(self, evidence: Evidence) -> Findings:
        """Nothing for control rows and for models that were unlearned elsewhere, which are not timed."""
        timing = evidence.timing
        if not timing.seconds:
            return Findings(notes=("needs timed trials, and there are none",))
        quartiles = np.percentile(timing.shares, [25, 75])
        deviation = timing.margin / Z if len(timing.seconds) > 1 else None
        estimates = {
            "runtime": Estimate(timing.share * timing.retraining, _scaled(deviation, timing.retraining)),
            "runtime_iqr": Estimate(float(quartiles[1] - quartiles[0]) * timing.retraining),
            "runtime_share": Estimate(timing.share, deviation),
            "budget_share": Estimate(timing.share / timing.allowed, _scaled(deviation, 1 / timing.allowed)),
        }
        if timing.share > 0:
            estimates["speed_up"] = Estimate(1 / timing.share)
        if timing.peak_memory:
            estimates["peak_memory"] = Estimate(float(np.median(timing.peak_memory)))
        return Findings(estimates)


def _scaled(deviation: float | None, factor: float) -> float | None:
    return None if deviation is None else deviation * factor


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register runtime."""
    register(Runtime)
