"""The metrics that are installed, each a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import BenchError
from bench.metrics.metric import Metric, check_metric
from bench.registry import discovery, loading

DISTRIBUTION = "unlearning-bench"  # its metrics are the first to claim their quantities


@dataclass(frozen=True)
class InstalledMetric:
    """A metric and the name it is installed under."""

    name: str
    metric: Metric


def installed_metrics() -> tuple[list[InstalledMetric], list[BenchError]]:
    """Every installed metric that loads, the quick ones first, and what is wrong with the others."""
    found: list[InstalledMetric] = []
    problems: list[BenchError] = []
    plugins = sorted(discovery.plugins(discovery.METRICS), key=lambda plugin: plugin.distribution != DISTRIBUTION)
    for name in dict.fromkeys(plugin.name for plugin in plugins):
        try:
            metric = load_metric(discovery.choose(plugins, name, "metric"))
            _check_quantities(name, metric, found)
        except BenchError as problem:
            problems.append(problem)
        else:
            found.append(InstalledMetric(name, metric))
    return sorted(found, key=lambda item: not item.metric.quick), problems


def _check_quantities(name: str, metric: Metric, others: Sequence[InstalledMetric]) -> None:
    """Two metrics that answer one quantity would overwrite each other."""
    declared = {quantity.name for quantity in metric.quantities}
    for other in others:
        shared = declared & {quantity.name for quantity in other.metric.quantities}
        if shared:
            raise BenchError(f"metric {name} is left out: it declares {sorted(shared)[0]}, which {other.name} answers")


def load_metric(plugin: discovery.Plugin) -> Metric:
    """Import a plugin and return the metric that it registers."""
    found = loading.registered(plugin, "register_metrics")
    metric: type[Metric] = loading.only(plugin, found, lambda item: isinstance(item, type) and issubclass(item, Metric))
    try:
        made = metric()
        check_metric(made)
    except (Exception, SystemExit) as problem:
        raise loading.blame(plugin, "is no metric", problem) from problem
    return made
