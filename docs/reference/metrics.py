"""Writes metrics.md, beside this file, from what the installed metrics say of themselves; a test compares the two.

python docs/reference/metrics.py
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from bench.cli.metrics import describe, direction, value_range
from bench.metrics.installed import load_metric
from bench.registry import discovery

DISTRIBUTION = "unlearning-bench"
PAGE = Path(__file__).parent / "metrics.md"
TOP = f"""\
# Metrics

Every metric that comes with `{DISTRIBUTION}`: what it is, its numbers, where it comes from, what it is blind to.
`bench metrics show NAME` says the same. They are plugins, and [yours](plugins.md#a-metric) enters by the same door. This page is
written by [metrics.py](metrics.py).

A number has a *column* where its metric asks for one: in the table of results, or in that of evidence, which is what attackers
see. Folded ones are on the board for those who choose them. All numbers are on the page of a run, in `bench score RUN` and in the
JSON files.
"""


def page() -> str:
    """The page as it should be."""
    names = sorted(entry.name for entry in distribution(DISTRIBUTION).entry_points.select(group=discovery.METRICS))
    found = [describe(name, load_metric(discovery.find(discovery.METRICS, name, "metric"))) for name in names]
    listed = [f"| [`{about['name']}`](#{about['name']}) | {_brief(about)} |" for about in found]
    return "\n".join(
        [TOP, "| metric | in brief |", "|---|---|", *listed, "", *(line for about in found for line in _section(about))]
    )


def _brief(about: dict[str, Any]) -> str:
    return _escaped(about["definition"].partition("\n")[0])


def _section(about: dict[str, Any]) -> Iterator[str]:
    yield f"## {about['name']}\n\n{about['definition']}\n"
    if about["quantities"]:
        yield "| number | what it is | unit | range | better | column |"
        yield "|---|---|---|---|---|---|"
        yield from map(_quantity, about["quantities"])
        yield ""
    yield f"Source: {about['source']}.\n"
    yield f"Pitfalls: {about['pitfalls']}\n"


def _quantity(about: dict[str, Any]) -> str:
    folded = " (folded)" if about["folded"] else ""
    column = f"{about['table']}: {about['head']}{folded}" if about["table"] else ""
    cells = [f"`{about['name']}`", about["meaning"], about["unit"], value_range(about), direction(about), column]
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
