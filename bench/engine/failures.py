"""When to give up on a method."""

from __future__ import annotations

MOST_FAILURES = 3  # in a row, before the rest of a run is not tried


class FailureLimit:
    """Counts failed trials in a row."""

    def __init__(self, most: int = MOST_FAILURES) -> None:
        self.most, self.in_a_row = most, 0

    @property
    def reached(self) -> bool:
        """Whether too many have failed."""
        return self.in_a_row >= self.most

    def count(self, *, failed: bool) -> None:
        """A trial has ended."""
        self.in_a_row = self.in_a_row + 1 if failed else 0
