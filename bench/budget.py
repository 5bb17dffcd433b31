"""How much time a method has, and where the time of a run went."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bench.errors import BenchError


@dataclass(frozen=True)
class Allowance:
    """The seconds that one trial of a method may take."""

    seconds: float


@dataclass(frozen=True)
class Budget:
    """A share of the time that retraining takes on the same device (`20%`, the challenge's rule), or seconds (`30s`)."""

    value: float
    unit: str  # "%" or "s"

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `20%` or `30s`.

        >>> Budget.parse("20%").allowance(retraining_seconds=10.0)
        Allowance(seconds=2.0)
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(%|s)", text.strip())
        if not match or float(match[1]) <= 0:
            raise BenchError(f"budget {text!r} is not understood: give a share of retraining time (20%) or seconds (30s)")
        return cls(float(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.value!r}".removesuffix(".0") + self.unit

    def allowance(self, retraining_seconds: float) -> Allowance:
        """The seconds per trial, given what one retraining takes on this device."""
        return Allowance(self.value / 100 * retraining_seconds if self.unit == "%" else self.value)


def in_words(budget: str) -> str:
    """A budget as a reader wants it.

    >>> in_words("20%")
    'budget 20 % of retraining'
    """
    return f"budget {budget[:-1]} % of retraining" if budget.endswith("%") else f"budget {budget[:-1]} s"


PHASES = ("setup", "warmup", "method", "eval", "io")
Phases = dict[str, float]


def add_phases(phases: Iterable[Phases]) -> Phases:
    """Seconds per phase, summed."""
    parts = list(phases)
    return {name: sum(part.get(name, 0.0) for part in parts) for name in PHASES}
