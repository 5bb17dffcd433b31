"""Tables and progress on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.budget import in_words
from bench.scoring.ceilings import Ceiling
from bench.scoring.columns import Column, columns, target, values, written
from bench.scoring.ranking import UNRANKED, Place
from bench.scoring.rows import Row
from bench.scoring.scorecard import HEADLINE, Measure, Scorecard
from bench.store.records import RunRecord
from bench.store.reference_records import origin

LONGEST_WORD = 20  # columns that the last one has at least, if a word in it needs them
GAP = 2  # columns between two columns
RETRAINED = "(retrained)"  # the line of what unlearning aims at
WIDE = 140  # columns that long tables need
NARROWEST = 120  # columns that a division's table needs; narrower terminals, and pipes, get lines of this length

out = Console(highlight=False)
out.width = max(out.width, NARROWEST)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int = NARROWEST) -> None:
    """Print a table; numbers to the right. Long names in the first column fold, and so does the last one between words."""
    first, *middle, last = zip(columns, *rows, strict=True)
    named = min(34, max(17, *(cell_len(cell) for cell in first)))
    numbers = [max(cell_len(cell) for cell in column) for column in middle]
    fixed = named + sum(numbers) + GAP * (len(columns) - 1)
    words = max(cell_len(word) for cell in last for word in cell.split() or [""])
    rest = max(min(words, LONGEST_WORD), max(width, out.width) - fixed)
    shown = Table(box=None, pad_edge=False)
    shown.add_column(escape(first[0]), width=named, overflow="fold")
    for column, wide in zip(middle, numbers, strict=True):
        shown.add_column(escape(column[0]), width=wide, justify="right", no_wrap=True)
    shown.add_column(escape(last[0]), width=rest, overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    text = StringIO()
    Console(highlight=False, width=fixed + rest, file=text).print(shown)
    for line in text.getvalue().splitlines():
        out.print(line.rstrip(), markup=False, soft_wrap=True)


def heading(record: RunRecord) -> str:
    """A division in words."""
    budget = f"{in_words(record.budget)} ({record.allowance_seconds:.2f} s a trial)"
    compared = f"reference {origin(record.models, record.shipped_models)}"
    return f"{record.task.name}, {record.models} models, {budget}, {record.device.kind}, {compared}"


def division_table(places: Sequence[Place], top: Ceiling | None) -> None:
    """Print the rows of a division beside what retrained models get."""
    scored = _scored(places)
    shown = [column for column in _columns(scored) if column.table == "results" and not column.folded]
    if scored:
        lines = [
            [place.row.label, *_ranks(place), *_cells(place.row, shown, top), ", ".join(place.row.badges)]
            for place in places
            if place.row.scorecard
        ]
        heads = ["method", "rank", "by final", *(column.title for column in shown), "badges"]
        table(heads, [*lines, [RETRAINED, "", "", *_target(scored, shown, top), ""]])
    for place in places:
        if not place.row.scorecard:
            out.print(f"{place.row.label}: not scored, {place.row.failure}", markup=False, soft_wrap=True)
    for place in places:
        if place.row.scorecard and place.group == UNRANKED:
            out.print(f"{place.row.label}: not ranked, {place.reason}", markup=False, soft_wrap=True)
    if top:
        out.print(_said(top), style="dim", soft_wrap=True)


def _said(top: Ceiling) -> str:
    """What retraining itself scores, and who says so."""
    if top.provisional:
        return f"Retraining's own forgetting score is about {top.value:.3f}; `bench run --plugin retrain` measures it."
    doubt = "" if top.margin is None else f" ±{top.margin:.3f}"
    sets = f"{top.sets} further set{'s' if top.sets > 1 else ''} of retrained models"
    return f"Retraining's own forgetting score is {top.value:.3f}{doubt}, by {sets}."


def _ranks(place: Place) -> list[str]:
    """By memory left, and by the challenge's final score."""
    return [str(rank or "") for rank in (place.rank, place.challenge)]


def evidence_table(places: Sequence[Place]) -> None:
    """Print what an attacker sees: values, and what retrained models get; in brackets where an attack fails its self-test."""
    scored = _scored(places)
    if not scored:
        return
    shown = [column for column in _columns(scored) if column.table == "evidence"]
    lines = [[item.label, *_cells(item, shown, None), ""] for item in scored]
    table(["", *(column.title for column in shown), ""], [*lines, [RETRAINED, *_target(scored, shown, None), ""]])
    for item in scored:
        _doubts(item.scorecard or Scorecard(), of=f"{item.label}: ")


def _scored(places: Sequence[Place]) -> list[Row]:
    return [place.row for place in places if place.row.scorecard]


def _columns(scored: Sequence[Row]) -> list[Column]:
    return columns(item.scorecard for item in scored if item.scorecard)


def _cells(item: Row, shown: Sequence[Column], top: Ceiling | None) -> list[str]:
    """A run's cells: memory left with its interval, what a blind attack says in brackets."""
    found = values(item, shown, top)
    cells = {column.key: column.shown(found[column.key]) for column in shown}
    for key, cell in cells.items():
        measure = item.measure(key)
        if measure and key == HEADLINE and measure.margin is not None:
            cells[key] = f"{cell.removesuffix(' %')} ±{written(measure.margin, measure.unit, 2)}"
        elif measure and measure.self_test is False:
            cells[key] = f"({cell})"
    return list(cells.values())


def _target(scored: Sequence[Row], shown: Sequence[Column], top: Ceiling | None) -> list[str]:
    return [column.shown(value) for column, value in zip(shown, target(scored, shown, top).values(), strict=True)]


def scorecard_table(card: Scorecard) -> None:
    """Print every measure of one run, and what should make a reader doubt."""
    heads = ["measure", "value", "interval", "retrained", "gap or ratio", "original", "unit, better"]
    lines = [_measure_line(name, measure, card.presentations[name].decimals) for name, measure in card.measures.items()]
    table(heads, lines, width=WIDE)
    _controls_table(card)
    notes(card)
    _doubts(card)


def notes(card: Scorecard) -> None:
    """Print how numbers came about, or why there are none."""
    for name, told in card.notes.items():
        for note in told:
            out.print(f"{name}: {note}", markup=False, soft_wrap=True)


def _controls_table(card: Scorecard) -> None:
    """Print numbers on people who are not forgotten, beside those on the forgotten; what retrained models get in brackets."""
    splits = list(dict.fromkeys(split for measure in card.measures.values() for split in measure.controls))
    if not splits:
        return
    lines = []
    for name, measure in card.measures.items():
        if measure.controls:
            shown = card.presentations[name]
            pairs = [(measure.value, measure.retrained), *(_pair(measure, split) for split in splits)]
            lines.append([name, *(_beside(*pair, measure.unit, shown.decimals) for pair in pairs), ""])
    out.print("\nthe same on people whom nobody asked to forget, and what retrained models get:", markup=False)
    table(["measure", "forget", *(split.replace("_", " ") for split in splits), ""], lines, width=WIDE)


def _pair(measure: Measure, split: str) -> tuple[float | None, float | None]:
    found = measure.controls.get(split)
    return (found.value, found.retrained) if found else (None, None)


def _beside(value: float | None, retrained: float | None, unit: str, decimals: int) -> str:
    if value is None:
        return ""
    ours = written(value, unit, decimals)
    return ours if retrained is None else f"{ours} ({written(retrained, unit, decimals)})"


def _doubts(card: Scorecard, of: str = "") -> None:
    for flag, seen in card.flags.items():
        out.print(f"{of}{flag}: {seen}", markup=False, soft_wrap=True)
    for name, reason in card.problems.items():
        out.print(f"{of}metric {name} failed: {reason}", markup=False, soft_wrap=True)


def _measure_line(name: str, measure: Measure, decimals: int) -> list[str]:
    def number(value: float | None) -> str:
        return "" if value is None else written(value, measure.unit, decimals)

    blind = " (blind)" if measure.self_test is False else ""
    ratio = "" if measure.relative is None else f"{100 * measure.relative:.0f} %"
    return [
        name,
        number(measure.value),
        "" if measure.interval is None else " to ".join(map(number, measure.interval)),
        number(measure.retrained),
        ratio if measure.gap is None else _gap(measure, measure.gap, decimals),
        number(measure.original) + blind,
        f"{measure.unit}, {measure.better}",
    ]


def _gap(measure: Measure, gap: float, decimals: int) -> str:
    def signed(value: float) -> str:
        return f"{'+' if value >= 0 else ''}{written(value, measure.unit, decimals)}"

    ends = measure.gap_interval
    return signed(gap) + (f" ({signed(ends[0])} to {signed(ends[1])})" if ends else "")
