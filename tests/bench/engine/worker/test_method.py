"""What a method's process says of the method before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from bench.engine.worker.method import _checked
from bench.errors import BenchError
from bench.method import Method


@dataclass(frozen=True)
class Wordy(Method):
    """Says yes instead of True."""

    stackable: ClassVar[Any] = "yes"


@dataclass(frozen=True)
class Unclear(Method):
    """Says of the clock what cannot be understood."""

    uses_clock: ClassVar[Any] = 1


@dataclass(frozen=True)
class Vague(Method):
    """Says nothing of whether it draws."""

    deterministic: ClassVar[Any] = None


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        (Wordy(), "Wordy.stackable must be True or False, not 'yes'"),
        (Unclear(), "Unclear.uses_clock must be True or False, not 1"),
        (Vague(), "Vague.deterministic must be True or False, not None"),
        (7, "variant must return a method, not int"),
        (Method, "variant must return a method, not type"),
    ],
)
def test_what_cannot_be_understood_is_refused_and_named(variant: object, said: str) -> None:
    with pytest.raises(BenchError, match=f"^{said}$"):
        _checked(variant)


def test_an_honest_variant_is_taken_as_it_is() -> None:
    assert _checked(Method()) == Method()
