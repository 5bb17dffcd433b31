"""See how far metrics can be trusted at a given N: run them on cases whose answer is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bench.cli import options
from bench.hookspecs import hookimpl
from bench.registry import discovery

if TYPE_CHECKING:
    from bench.metrics.installed import InstalledMetric
    from bench.metrics.metric import Metric
    from bench.scoring.calibration import CaseResult


OF_NO_CASE = {"utility", "runtime"}  # families: cases differ in what is forgotten, nothing else


@click.command()
@click.option("--models", type=int, default=16, show_default=True, help="Models on either side.")
@click.option("--examples", type=click.IntRange(min=20), default=120, show_default=True, help="Forget examples.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Times that every case is drawn.")
@click.option("--metric", "only", multiple=True, help="Metric to calibrate; repeatable.  [default: all]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root of all draws.")
@options.as_json
def calibrate(models: int, examples: int, repeats: int, only: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Run every metric on made-up cases: its mean, and in how many repeats it tells them from retrained models."""
    from bench.metrics.installed import installed_metrics
    from bench.progress import Bars
    from bench.scoring.calibration import CASES, calibrated
    from bench.scoring.scorer import check_models

    check_models(models)
    for name in only:
        discovery.find(discovery.METRICS, name, "metric")
    metrics = [item for item in installed_metrics()[0] if (item.name in only if only else _differs(item.metric))]
    with Bars() as progress:
        advance = progress.stage(f"{models} models, {examples} forget examples", repeats * len(metrics) * (1 + len(CASES)))
        answers = calibrated(metrics, models, examples, repeats, seed, lambda: advance(1))
    if as_json:
        cases = {case: {name: asdict(answer) for name, answer in found.items()} for case, found in answers.items()}
        drawn = {"models": models, "examples": examples, "repeats": repeats, "seed": seed}
        click.echo(json.dumps({**drawn, "cases": cases, "quantities": _quantities(metrics, answers)}, indent=1))
        return
    _print(answers, repeats)


def _differs(metric: Metric) -> bool:
    """Whether a metric may tell cases apart: not if all its numbers are of utility or runtime."""
    families = {quantity.family for quantity in metric.quantities}
    return not families or not families <= OF_NO_CASE


def _quantities(metrics: Sequence[InstalledMetric], answers: Mapping[str, Mapping[str, CaseResult]]) -> dict[str, Any]:
    """How the measures that were answered are shown."""
    from bench.scoring.scorecard import presentations
    from bench.store.fields import plain

    known = {name: about for item in metrics for name, about in presentations(item.metric).items()}
    answered = {name for found in answers.values() for name in found}
    return {name: plain(about) for name, about in known.items() if name in answered}


def _print(answers: Mapping[str, Mapping[str, CaseResult]], repeats: int) -> None:
    from bench.cli.show import WIDE, table
    from bench.scoring.constructions import CHOSEN, DIFFERENCES

    for cases in (DIFFERENCES, CHOSEN):
        names = dict.fromkeys(name for case in cases for name in answers[case])
        lines = [[name, *(_cell(answers[case].get(name), repeats) for case in cases), ""] for name in names]
        table(["measure", *cases, ""], lines, width=WIDE)
        click.echo()
    click.echo(
        f"Means of {repeats}; in brackets in how many of them the case is told from retrained models, if the measure says so."
    )


def _cell(answer: CaseResult | None, repeats: int) -> str:
    if answer is None:
        return ""
    told = "" if answer.told is None else f" ({answer.told}/{repeats})"
    return told.strip() if answer.mean is None else f"{answer.mean:.3f}{told}"


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench calibrate`."""
    cli.add_command(calibrate)
