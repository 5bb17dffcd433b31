"""What `bench verify` and `bench doctor` found, point by point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One point: what was looked at, what was seen, and if that is wrong, what to do."""

    point: str
    seen: str
    problem: str = ""  # "" if all is well
    remedy: str = ""

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem

    def lines(self) -> list[str]:
        """For a terminal."""
        first = f"{'ok  ' if self.well else 'FAIL'}  {self.point}: {self.problem or self.seen}"
        return [first, f"      {self.remedy}"] if self.remedy and not self.well else [first]


def as_json(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """Points as plain data."""
    return [{"ok": check.well, **asdict(check)} for check in checks]
