"""How much time a method has, and where the time of a run went."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from bench.errors import BenchError

Item = TypeVar("Item")
USUAL_SHARE = 0.2  # of one retraining: the challenge's rule, and what defaults of hyper-parameters are for
_UNDECLARED = "a method that reads the clock must declare uses_clock = True; what a budget allows is known to its `within`"
FREE_SECONDS, FREE_SHARE = 0.25, 0.1  # before `unlearn`: seconds, and of the allowance
SLACK = 0.02  # share of the allowance, and seconds, that `in_time` leaves: handing the model over takes time, too


class Allowance:
    """The seconds that one trial of a method may take, and what is left of them, for a method that declares `uses_clock = True`.

    Its results depend on the machine's speed, so it runs alone on the device, is never stacked, and its row says so.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] | None = None) -> None:
        self._seconds, self._clock = seconds, clock
        self._start = clock() if clock else 0.0

    @property
    def seconds(self) -> float:
        """Those of the whole trial.

        Raises:
            RuntimeError: the method does not declare `uses_clock = True`.
        """
        if self._clock is None:
            raise RuntimeError(_UNDECLARED)
        return self._seconds

    def remaining(self) -> float:
        """Seconds that are left, on the clock that the budget is measured by; negative when they are over.

        Raises:
            RuntimeError: the method does not declare `uses_clock = True`.
        """
        if self._clock is None:
            raise RuntimeError(_UNDECLARED)
        return self._seconds - (self._clock() - self._start)

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return self.remaining() <= 0

    def in_time(self, items: Iterable[Item], reserve: float = 0.0) -> Iterator[Item]:
        """Items, batches say, for as long as the longest step so far still fits and `reserve` seconds remain after it.

        >>> ticks = iter(range(100))
        >>> allowance = Allowance(10.0, clock=lambda: float(next(ticks)))
        >>> list(allowance.in_time("abcdefghijklmnop"))
        ['a', 'b', 'c', 'd']
        """
        kept, longest = reserve + SLACK * self.seconds + SLACK, 0.0
        for item in items:
            before = self.remaining()
            if before <= longest + kept:
                return
            yield item
            longest = max(longest, before - self.remaining())


@dataclass(frozen=True)
class Budget:
    """A share of the time that retraining takes on the same device (`20%`, the challenge's rule), or seconds (`30s`)."""

    value: float
    unit: str  # "%" or "s"

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `20%` or `30s`.

        >>> Budget.parse("20%").allowance(retraining_seconds=10.0)
        2.0
        """
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%|s)", text.strip())
        if not match or float(match[1]) <= 0:
            raise BenchError(f"budget {text!r} is not understood: give a share of retraining time (20%) or seconds (30s)")
        return cls(float(match[1]), match[2])

    def __str__(self) -> str:
        return f"{Decimal(repr(self.value)):f}".removesuffix(".0") + self.unit  # never 1e-06

    def allowance(self, retraining_seconds: float) -> float:
        """The seconds per trial, given what one retraining takes on this device."""
        return self.value / 100 * retraining_seconds if self.unit == "%" else self.value

    @property
    def as_share(self) -> float | None:
        """The share of one retraining; None of a budget in seconds."""
        return self.value / 100 if self.unit == "%" else None

    def share(self, retraining_seconds: float) -> float:
        """What is allowed as a share of one retraining, given what that takes.

        >>> Budget.parse("20%").share(10.0), Budget.parse("5s").share(10.0)
        (0.2, 0.5)
        """
        return self.value / retraining_seconds if self.as_share is None else self.as_share

    @classmethod
    def parse_sweep(cls, text: str) -> list[Budget]:
        """Read several budgets, `5%,10%,20%`."""
        return list(dict.fromkeys(cls.parse(part) for part in text.split(",")))


def as_fits(usual: float, share: float, fixed: float = 0.0) -> float:
    """How much fits a share of one retraining, of what fits the usual one, if a `fixed` share goes into what is always done.

    Raises:
        ValueError: that much is not left.

    >>> as_fits(2, 0.6), as_fits(1.0, 0.05), as_fits(3.0, 0.15, fixed=0.05)
    (6.0, 0.25, 2.0)
    """
    if share <= fixed:
        raise ValueError(f"what it always does takes about {100 * fixed:g} % of a retraining")
    return round(usual * (share - fixed) / (USUAL_SHARE - fixed), 9)  # 0.6 is not three times 0.2


def in_words(budget: str) -> str:
    """A budget as a reader wants it.

    >>> in_words("20%")
    'budget 20 % of retraining'
    """
    return f"budget {budget[:-1]} % of retraining" if budget.endswith("%") else f"budget {budget[:-1]} s"


PHASES = ("setup", "warmup", "method", "eval", "io", "yardstick")
Phases = dict[str, float]


class PhaseClock:
    """Wall seconds per phase, monotonic. Every moment since the clock was made belongs to one, so they add up to wall time."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.phases: Phases = dict.fromkeys(PHASES, 0.0)
        self._now = now
        self._last = now()

    def lap(self, phase: str) -> None:
        """Count the time since the last lap as that phase."""
        now = self._now()
        self.phases[phase] += now - self._last
        self._last = now

    @property
    def seconds(self) -> float:
        """From the beginning to the last lap."""
        return sum(self.phases.values())


def beyond_free(prepared: float, allowance: float, models: int = 1) -> float:
    """Seconds that count of those before `unlearn`: what exceeds a tenth of what M models may take, and a quarter of a second.

    A method that imports little and has nothing to prepare takes .05 s (docs/evidence/runtime.md).

    >>> beyond_free(0.2, allowance=1.0), beyond_free(5.0, allowance=10.0), beyond_free(9.0, allowance=10.0, models=8)
    (0.0, 4.0, 1.0)
    """
    return max(0.0, prepared - max(FREE_SECONDS, FREE_SHARE * models * allowance))


def limit_seconds(allowance: float, models: int = 1) -> float:
    """When trials are killed: 2 x budget + 5 s for one model, that times M for a stack of M, on the clock of the budget."""
    return models * (2 * allowance + 5)
