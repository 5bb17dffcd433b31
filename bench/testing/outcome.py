"""What a check came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """Passed, failed, or does not apply to this method."""

    PASSED = "ok"
    FAILED = "FAIL"
    SKIPPED = "skip"


@dataclass(frozen=True)
class Outcome:
    """One check of one method."""

    check: str
    status: Status
    reason: str = ""  # why it failed or does not apply; of a check that passed, what a reader should know


class FailedCheckError(Exception):
    """A check is not passed; the text says what was seen and what to do."""


class NotApplicableError(Exception):
    """A check does not apply; the text says why."""
