"""List metrics, and explain one: definition, range, direction, source, pitfalls."""

from __future__ import annotations

import inspect
import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bench.cli import options
from bench.hookspecs import hookimpl
from bench.registry import discovery

if TYPE_CHECKING:
    from bench.metrics.metric import Metric, Quantity

WIDTH = 100


@click.group(invoke_without_command=True)
@click.pass_context
@options.as_json
def metrics(context: click.Context, as_json: bool) -> None:
    """List the installed metrics."""
    if context.invoked_subcommand is not None:
        return
    found = list(discovery.summaries(discovery.METRICS))
    if as_json:
        fields = ({"name": plugin.name, "distribution": plugin.distribution, "summary": summary} for plugin, summary in found)
        click.echo(json.dumps(list(fields), indent=1))
        return
    width = max(len(plugin.name) for plugin, _ in found)
    for plugin, summary in found:
        click.echo(f"{plugin.name.ljust(width)}  {plugin.distribution}  {summary}")


@metrics.command()
@click.argument("name", shell_complete=options.complete(discovery.METRICS))
@options.as_json
def show(name: str, as_json: bool) -> None:
    """Explain a metric: what it is, its numbers, where it comes from, what it is blind to."""
    from bench.metrics.installed import load_metric

    metric = load_metric(discovery.find(discovery.METRICS, name, "metric"))
    about = describe(name, metric)
    if as_json:
        click.echo(json.dumps(about, indent=1))
        return
    for paragraph in about["definition"].split("\n\n"):
        click.echo(textwrap.fill(paragraph, WIDTH) + "\n")
    for quantity in about["quantities"]:
        click.echo(f"{quantity['name']}: {quantity['meaning']}")
        facts = [
            quantity["unit"],
            value_range(quantity),
            direction(quantity),
            _column(quantity),
        ]
        click.echo(f"    {', '.join(filter(None, facts))}")
    for title in ("source", "pitfalls"):
        click.echo("\n" + textwrap.fill(f"{title}: {about[title]}", WIDTH, subsequent_indent="  "))


def describe(name: str, metric: Metric) -> dict[str, Any]:
    """All that a metric says of itself."""
    return {
        "name": name,
        "version": metric.version,
        "definition": inspect.cleandoc(metric.__doc__ or "").partition(">>>")[0].strip(),
        "quantities": [_plain(quantity) for quantity in metric.quantities],
        "source": metric.source,
        "pitfalls": metric.pitfalls,
    }


def _plain(quantity: Quantity) -> dict[str, Any]:
    """As JSON, which has no infinity: an end that is open is null."""
    return {**asdict(quantity), "head": quantity.head, "lowest": _finite(quantity.lowest), "highest": _finite(quantity.highest)}


def _finite(end: float) -> float | None:
    return None if abs(end) == float("inf") else end


def _column(quantity: dict[str, Any]) -> str:
    folded = ", folded" if quantity["folded"] else ""
    return f"column {quantity['head']!r} of {quantity['table']}{folded}" if quantity["table"] else ""


def value_range(quantity: dict[str, Any]) -> str:
    """Where the values of a quantity lie, in words."""
    low, high = quantity["lowest"], quantity["highest"]
    if low is None:
        return "any value"
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def direction(quantity: dict[str, Any]) -> str:
    """Which values of a quantity are good, in words."""
    if quantity["better"] == "as retrained":
        return "best where retrained models are" + (", self-tested on the original model" if quantity["attack"] else "")
    return f"{quantity['better']} is better"


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench metrics`."""
    cli.add_command(metrics)
