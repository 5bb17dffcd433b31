"""Retraining from scratch: what perfect unlearning scores, the ceiling of every division."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import Control, Method, hookimpl


@dataclass(frozen=True)
class Retrain(Control):
    """Retrained models N..2N-1, compared with 0..N-1 as every row is.

    Source: control row; the definition of exact unlearning.
    """

    def reference_models(self, models: int) -> Sequence[int | None]:
        """A set of retrained models that shares none with those that every row is compared with."""
        return range(models, 2 * models)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register the control row."""
    register(Retrain)
