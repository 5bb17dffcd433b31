"""What a check is, and what it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar


class Status(Enum):
    """Passed, failed, or does not apply to this plugin."""

    PASSED = "ok"
    FAILED = "FAIL"
    SKIPPED = "skip"


@dataclass(frozen=True)
class Outcome:
    """One check of one plugin."""

    check: str
    status: Status
    reason: str = ""  # why it failed or does not apply; of a check that passed, what a reader should know


class FailedCheckError(Exception):
    """A check is not passed; the text says what was seen and what to do."""


class NotApplicableError(Exception):
    """A check does not apply; the text says why."""


class Tested(Protocol):
    """A plugin under test."""

    @property
    def problem(self) -> str:
        """Why it does not run at all; "" if it does."""

    def told(self, problem: Exception) -> str:
        """What it raised, in a line."""


T = TypeVar("T", bound=Tested)


@dataclass(frozen=True)
class Check(Generic[T]):
    """One check."""

    name: str
    what: str  # one line
    look: Callable[[T], str]  # what a reader should know, "" for nothing; raises FailedCheckError or NotApplicableError
    runs: bool  # whether it needs a plugin that runs at all

    @classmethod
    def of(cls, look: Callable[[T], str], *, runs: bool) -> Check[T]:
        """The check that a function with a docstring makes, named after it."""
        return cls(look.__name__.replace("_", "-"), (look.__doc__ or "").splitlines()[0], look, runs)

    def run(self, tested: T) -> Outcome:
        """Apply it."""
        if self.runs and tested.problem:
            return Outcome(self.name, Status.SKIPPED, "it does not run")
        try:
            return Outcome(self.name, Status.PASSED, self.look(tested))
        except NotApplicableError as reason:
            return Outcome(self.name, Status.SKIPPED, str(reason))
        except FailedCheckError as reason:
            return Outcome(self.name, Status.FAILED, str(reason))
        except Exception as problem:  # whatever a plugin raises is its failure
            return Outcome(self.name, Status.FAILED, tested.told(problem))
