"""How the engine tells what it is doing, and bars that draw it on a terminal or in a notebook."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Drawing

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
    """A bar with time left per stage, on standard error or below a cell.

    Where nobody can watch a bar, in a log for example, a line as a stage begins, with the seconds so far.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Drawing

        self._began, self._console = time.monotonic(), Console(stderr=True, highlight=False)
        left = TextColumn("left"), TimeRemainingColumn()
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), *left
        self._drawing = Drawing(*columns, console=self._console)
        self._cell = _Cell(self._drawing) if self._console.is_jupyter else None

    def stage(self, label: str, total: float) -> Advance:
        """Add a bar; the one before is done."""
        if not (self._cell or self._console.is_terminal):
            self._console.print(f"{time.monotonic() - self._began:7.1f} s  {label}", markup=False)
            return super().stage(label, total)
        if not self._cell:
            self._drawing.start()
        self._fill()
        bar = self._drawing.add_task(label, total=total)
        if self._cell:
            self._cell.draw()

        def advance(units: float) -> None:
            self._drawing.advance(bar, units)
            if self._cell and self._cell.due:
                self._cell.draw()

        return advance

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, markup=False)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._fill()
        if self._cell and self._drawing.tasks:
            self._cell.draw()
        if self._drawing.live.is_started:  # it would print an empty line
            self._drawing.stop()

    def _fill(self) -> None:
        for task in self._drawing.tasks:
            self._drawing.update(task.id, completed=task.total)


class _Cell:
    """Where bars stand below a cell: one output that is replaced. rich would need ipywidgets, and warn ten times a second."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing, self._drawn = drawing, 0.0
        self._shown: Any = None

    @property
    def due(self) -> bool:
        """Whether the last drawing is old enough to be replaced."""
        return time.monotonic() - self._drawn > 0.25

    def draw(self) -> None:
        """Show the bars as they are."""
        from IPython.display import display

        self._drawn = time.monotonic()
        if self._shown:
            self._shown.update(self._drawing)
        else:
            self._shown = display(self._drawing, display_id=True)
