"""Writes the table of docs/evidence/methods.md from a store with a run of every method's defaults.

bench run --all --models 16 --store methods-store
python docs/evidence/methods/defaults.py methods-store
"""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

import click

from bench.scoring.gates import why_unranked
from bench.scoring.rows import Row, rows
from bench.store.store import Store

PAGE = Path(__file__).parents[1] / "methods.md"
MARKED = re.compile(r"(<!-- table -->)\n.*?(<!-- end -->)", re.DOTALL)
COLUMNS = ("method", "of the budget", "retain", "test", "forget", "memory left", "score", "a stack, of alone", "not ranked, as")


def table(found: list[Row]) -> str:
    """One line for each method, control rows first."""
    lines = [cells(item) for item in sorted(found, key=lambda item: (not item.control, item.label))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [COLUMNS, ("---",) * len(COLUMNS), *lines])


def cells(item: Row) -> tuple[str, ...]:
    """What a method's defaults do, as a line of the table."""
    accuracies = (number(item.value(f"{split}_accuracy"), ".3f") for split in ("retain", "test", "forget"))
    score, share = number(item.value("final_score"), ".4f"), item.value("budget_share")
    reason = "a control row" if item.control else why_unranked(item)
    return (f"`{item.label}`", number(share, ".0%"), *accuracies, memory(item), score, number(in_a_stack(item), ".2f"), reason)


def memory(item: Row) -> str:
    """Memory left in per cent, and how far it may be off."""
    found = item.measure("memory_left")
    if found is None:
        return ""
    return f"{100 * found.value:.0f} ±{100 * (found.margin or 0.0):.0f} %"


def in_a_stack(item: Row) -> float | None:
    """Seconds that a model takes in a stack, as a share of what one takes alone; None: it is not stacked, or not timed."""
    timing = item.timing
    stacked = item.record.method.stackable and item.record.stack_size > 1
    return median(timing.scored) / median(timing.seconds) if stacked and timing.seconds else None


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form).replace("%", " %")


@click.command()
@click.argument("store", type=click.Path(path_type=Path, exists=True))
def main(store: Path) -> None:
    """Put the table into the page."""
    found, problems = rows(Store(store))
    for problem in problems:
        click.echo(problem, err=True)
    text, places = MARKED.subn(lambda marks: f"{marks[1]}\n{table(found)}\n{marks[2]}", PAGE.read_text(encoding="utf-8"))
    if places != 1:
        raise click.ClickException(f"{PAGE.name} has no place for the table")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
