"""No unlearning: the original model in every trial, the floor of every division."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench import Control, Method, hookimpl


@dataclass(frozen=True)
class Original(Control):
    """The original model, N times.

    Source: control row; the challenge's score gives it 0, since N equal models are no distribution.
    """

    deterministic: ClassVar[bool] = True

    def reference_models(self, models: int) -> Sequence[int | None]:
        """The original model."""
        return [None] * models


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register the control row."""
    register(Original)
