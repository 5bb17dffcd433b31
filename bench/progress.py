"""How the engine tells what it is doing; the command line draws it."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[float], None]
Note = Callable[[str], None]  # is told what the user should know


class Progress:
    """Tells nobody. A subclass overrides `stage`."""

    def stage(self, label: str, total: float) -> Advance:
        """Begin a stage of `total` units; the answer is called with units done since its last call."""
        return lambda units: None

    def note(self, text: str) -> None:
        """Say something that the user did not ask for but should know."""


def job_progress(advance: Advance) -> tuple[Callable[[float], None], Callable[[], None]]:
    """For a job of one unit: what to call with the share done so far, and what to call at its end."""
    told = 0.0

    def reached(share: float) -> None:
        nonlocal told
        advance(share - told)
        told = share

    return reached, lambda: reached(1.0)
