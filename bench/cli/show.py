"""Tables and progress on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bench.engine import progress
from bench.results import Ceiling, Row

NARROWEST = 120  # columns that a division's table needs; narrower terminals, and pipes, get lines of this length

out = Console(highlight=False)
out.width = max(out.width, NARROWEST)
err = Console(stderr=True, highlight=False)


class TerminalProgress(progress.Progress):
    """A bar with time left per stage, on standard error."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
        )

    def stage(self, label: str, total: float) -> progress.Advance:
        """Add a bar; the one before is done."""
        self._bars.start()
        for task in self._bars.tasks:
            self._bars.update(task.id, completed=task.total)
        bar = self._bars.add_task(label, total=total)
        return lambda units: self._bars.advance(bar, units)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        err.print(text, markup=False)

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            for task in self._bars.tasks:
                self._bars.update(task.id, completed=task.total)
        self._bars.stop()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Print a table; numbers to the right."""
    shown = Table(title=title or None, box=None, pad_edge=False, title_justify="left")
    shown.add_column(columns[0], min_width=17, max_width=34, overflow="fold")  # long specs fold, numbers do not
    for column in columns[1:-1]:
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column(columns[-1], overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    out.print(shown)


def division_table(ranked: Sequence[tuple[int | None, Row]], ceiling: Ceiling | None) -> None:
    """Print the rows of a division beside what retrained models get."""
    scored = [item for _, item in ranked if item.scorecard]
    reference = scored[0] if scored else None
    columns = [
        "method",
        "final",
        "forgets",
        "of ceiling",
        "retain",
        "test",
        "forget",
        "MIA gap",
        "runtime",
        "of budget",
        "badges",
    ]
    lines = [_line(item, ceiling) for _, item in ranked if item.scorecard]
    if reference:
        cells = [_share(reference.retrained(f"{name}_accuracy")) for name in ("retain", "test", "forget")]
        runtime = f"{reference.record['retraining_seconds']:.1f} s"
        lines.append(["(retrained)", "", "", "", *cells, "0.000", runtime, "", ""])
    table(columns, lines)
    for _, item in ranked:
        if not item.scorecard:
            out.print(f"{item.record['method']['spec']}: not scored, {item.failure}", markup=False, soft_wrap=True)
    if ceiling and ceiling.provisional:
        out.print("Share of a provisional ceiling; `bench run --plugin retrain` measures it.", style="dim")


def _line(item: Row, ceiling: Ceiling | None) -> list[str]:
    name = item.record["method"]["spec"]
    forgetting = item.value("forgetting_score")
    share = forgetting / ceiling.value if ceiling and ceiling.value and forgetting is not None else None
    runtime = item.value("runtime")
    return [
        name,
        _score(item.value("final_score")),
        _score(forgetting),
        _percent(share),
        *[_share(item.value(f"{split}_accuracy")) for split in ("retain", "test", "forget")],
        _share(item.value("attack_gap")),
        "" if runtime is None else f"{runtime:.2f} s",
        _percent(item.value("budget_share")),
        ", ".join(item.scorecard.badges) if item.scorecard else "",
    ]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"
