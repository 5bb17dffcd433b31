"""Tables and progress on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.budget import in_words
from bench.scoring.ranking import Ceiling, Place
from bench.scoring.scorecard import Measure, Scorecard
from bench.store.records import RunRecord

WIDE = 140  # columns that long tables need
NARROWEST = 120  # columns that a division's table needs; narrower terminals, and pipes, get lines of this length

out = Console(highlight=False)
out.width = max(out.width, NARROWEST)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int = NARROWEST) -> None:
    """Print a table; numbers to the right."""
    shown = Table(box=None, pad_edge=False)
    longest = max(len(row[0]) for row in rows) if rows else 0
    first = min(34, max(17, longest))  # longer specs fold, numbers do not
    shown.add_column(columns[0], min_width=first, max_width=first, overflow="fold")
    for column in columns[1:-1]:
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column(columns[-1], overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    Console(highlight=False, width=max(width, out.width)).print(shown)


def heading(record: RunRecord) -> str:
    """A division in words."""
    budget = f"{in_words(record.budget)} ({record.allowance_seconds:.2f} s a trial)"
    return f"{record.task.name}, {record.models} models, {budget}, {record.device.kind}"


def division_table(places: Sequence[Place], top: Ceiling | None) -> None:
    """Print the rows of a division beside what retrained models get."""
    scored = [place.row for place in places if place.row.scorecard]
    columns = ["method", "final", "rank", "forgets", "of ceiling", "retain", "test", "forget", "runtime", "of budget", "badges"]
    lines = [_line(place, top) for place in places if place.row.scorecard]
    if scored:
        cells = [
            _share(getattr(scored[0].measure(f"{name}_accuracy"), "retrained", None)) for name in ("retain", "test", "forget")
        ]
        lines.append(["(retrained)", "", "", "", "", *cells, f"{scored[0].record.retraining_seconds:.1f} s", "", ""])
    table(columns, lines)
    for place in places:
        if not place.row.scorecard:
            out.print(f"{place.row.label}: not scored, {place.row.failure}", markup=False, soft_wrap=True)
    if top and top.provisional:
        out.print("Share of a provisional ceiling; `bench run --plugin retrain` measures it.", style="dim")


def _line(place: Place, top: Ceiling | None) -> list[str]:
    item = place.row
    forgetting = item.value("forgetting_score")
    share = forgetting / top.value if top and top.value and forgetting is not None else None
    runtime = item.value("runtime")
    return [
        item.label,
        _spread(item.measure("final_score")),
        place.interval,
        _score(forgetting),
        _percent(share),
        *[_share(item.value(f"{split}_accuracy")) for split in ("retain", "test", "forget")],
        "" if runtime is None else f"{runtime:.2f} s",
        _percent(item.value("budget_share")),
        ", ".join(item.badges),
    ]


EVIDENCE = {  # column -> measure
    "p-value": "p_value",
    "held-out eps": "cross_fitted_epsilon",
    "U-LiRA": "ulira_auc",
    "RMIA": "rmia_auc",
    "loss MIA": "starting_kit_accuracy",
    "unseen MIA": "unseen_accuracy",
    "KLOM": "klom_median",
    "spread": "log_deviation_ratio",
}


def evidence_table(places: Sequence[Place]) -> None:
    """Print what an attacker sees: values, and what retrained models get; in brackets where an attack fails its self-test."""
    scored = [place.row for place in places if place.row.scorecard]
    if not scored:
        return
    lines = [[item.label, *(_tested(item.measure(name)) for name in EVIDENCE.values()), ""] for item in scored]
    retrained = [_share(getattr(scored[0].measure(name), "retrained", None)) for name in EVIDENCE.values()]
    table(["", *EVIDENCE, ""], [*lines, ["(retrained)", *retrained, ""]])
    for item in scored:
        _doubts(item.scorecard or Scorecard(), of=f"{item.label}: ")


def scorecard_table(card: Scorecard) -> None:
    """Print every measure of one run, and what should make a reader doubt."""
    columns = ["measure", "value", "interval", "retrained", "gap or ratio", "original", "unit, better"]
    table(columns, [_measure_line(name, measure) for name, measure in card.measures.items()], width=WIDE)
    _doubts(card)


def _doubts(card: Scorecard, of: str = "") -> None:
    for flag, seen in card.flags.items():
        out.print(f"{of}{flag}: {seen}", markup=False, soft_wrap=True)
    for name, reason in card.problems.items():
        out.print(f"{of}metric {name} failed: {reason}", markup=False, soft_wrap=True)


def _measure_line(name: str, measure: Measure) -> list[str]:
    blind = " (blind)" if measure.self_test is False else ""
    return [
        name,
        number(measure.value),
        _range(measure.interval),
        number(measure.retrained),
        _gap(measure) if measure.gap is not None else _percent(measure.relative),
        number(measure.original) + blind,
        f"{measure.unit}, {measure.better}",
    ]


def _gap(measure: Measure) -> str:
    ends = "" if measure.gap_interval is None else " ({:+.3f} to {:+.3f})".format(*measure.gap_interval)
    return f"{measure.gap:+.3f}{ends}"


def number(value: float | None) -> str:
    """A value with four digits, large ones in full; "" if there is none."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 or (value == int(value) and abs(value) > 1) else f"{value:.4f}"


def _range(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _tested(measure: Measure | None) -> str:
    if measure is None:
        return ""
    return f"({measure.value:.3f})" if measure.self_test is False else f"{measure.value:.3f}"


def _spread(measure: Measure | None) -> str:
    if measure is None:
        return ""
    half = f" ±{(measure.interval[1] - measure.value):.3f}" if measure.interval else ""
    return f"{measure.value:.4f}{half}"


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"
