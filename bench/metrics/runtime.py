"""How long unlearning takes, beside retraining and beside the budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.hookspecs import hookimpl
from bench.metrics.metric import Estimate, Evidence, Findings, Metric, Quantity


class Runtime(Metric):
    """Time of the timed trials: one model, nothing else on the device; the median of three.

    CPU seconds of the worker on a CPU, wall seconds between two synchronisations on a GPU. Retraining is timed the same way,
    over two epochs after a warm-up. A row whose median exceeds the budget is badged `over budget` and not ranked.

    >>> from bench.metrics.metric import Timing
    >>> evidence = Evidence(None, None, Timing(solo=[1.0, 2.0, 4.0], retraining=10.0, allowance=3.0))
    >>> Runtime().score(evidence).estimates["speed_up"].value
    5.0
    """

    quick = True
    source = "design of the NeurIPS 2023 challenge: about a fifth of the retraining time, on the same device"
    pitfalls = "Neighbours cost no CPU time, but caches: on a shared machine the same method moves by up to a quarter."
    quantities = (
        Quantity(
            "runtime",
            "seconds",
            "lower",
            0,
            np.inf,
            "median of the timed trials",
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
        """Nothing for control rows, which are not timed."""
        timing = evidence.timing
        if not timing.solo:
            return Findings()
        seconds, quartiles = float(np.median(timing.solo)), np.percentile(timing.solo, [25, 75])
        values = {
            "runtime": seconds,
            "runtime_iqr": float(quartiles[1] - quartiles[0]),
            "runtime_share": seconds / timing.retraining,
            "budget_share": seconds / timing.allowance,
        }
        if seconds > 0:
            values["speed_up"] = timing.retraining / seconds
        if timing.peak_memory:
            values["peak_memory"] = float(np.median(timing.peak_memory))
        return Findings({name: Estimate(value) for name, value in values.items()})


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register runtime."""
    register(Runtime)
