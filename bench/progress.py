"""How the engine tells what it is doing, and bars that draw it on a terminal or in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

Advance = Callable[[float], None]
Note = Callable[[str], None]  # is told what the user should know


class Progress:
    """Tells nobody. A subclass overrides `stage` and `note`; it is open for as long as the block that it begins lasts."""

    def stage(self, label: str, total: float) -> Advance:
        """Begin a stage of `total` units; the answer is called with units done since its last call."""
        return lambda units: None

    def note(self, text: str) -> None:
        """Say something that the user did not ask for but should know."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """All stages are over."""


class Bars(Progress):
    """A bar with time left per stage, on standard error or below a cell."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Drawing

        self._console = Console(stderr=True, highlight=False)
        left = TextColumn("left"), TimeRemainingColumn()
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), *left
        self._drawing = Drawing(*columns, console=self._console)

    def stage(self, label: str, total: float) -> Advance:
        """Add a bar; the one before is done."""
        self._drawing.start()
        self._fill()
        bar = self._drawing.add_task(label, total=total)
        return lambda units: self._drawing.advance(bar, units)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, markup=False)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._fill()
        if self._drawing.live.is_started:  # it would print an empty line
            self._drawing.stop()

    def _fill(self) -> None:
        for task in self._drawing.tasks:
            self._drawing.update(task.id, completed=task.total)
