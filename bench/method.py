"""What a plugin author writes: a frozen dataclass whose fields are its hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

    from bench.splits import MethodData
    from bench.trial import Trial


@dataclass(frozen=True)
class Method:
    """An unlearning algorithm.

    Subclasses are frozen dataclasses: fields are hyper-parameters, with defaults whose source is stated; the docstring
    names the paper. A method whose class says `stackable = True` is handed several trials at once (see `bench.models.stacked`).
    One that says `uses_clock = True` may read `trial.budget`; it is never stacked, runs alone on the device, and its row says so.
    `in_place = False` says that `model` is left as it was and another network returned, `uses_forget = False` that the forget
    set is not looked at; the conformance kit holds a method to both.
    """

    stackable: ClassVar[bool] = False
    uses_clock: ClassVar[bool] = False
    in_place: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = True

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Return a network that has forgotten `data.forget`: `model` changed in place, or another of its class.

        `model` arrives in train mode with the original model's weights.
        """
        raise NotImplementedError

    def within(self, share: float) -> Method:
        """This method as it fits a budget: a `share` of one retraining, 0.2 for 20 %; by default itself, whatever the budget.

        Defaults of hyper-parameters are for a share of 0.2 (`bench.budget.USUAL_SHARE`); those that the user names are put in
        afterwards. It is not asked about budgets in seconds, and reads no clock: its answer is the same everywhere.

        Raises:
            ValueError: the budget is below the least that the method can do; the message says what that is.
        """
        return self

    def variant(self, index: int) -> Method:
        """The method that trial `index` uses; only trials with equal variants share a stack."""
        return self


@dataclass(frozen=True)
class Control(Method):
    """A row that every division needs to be read: outputs of reference models, no unlearning."""

    def reference_models(self, models: int) -> Sequence[int | None]:
        """Which reference models stand in for the trials 0..models-1: None for the original, or retrained models' indices.

        Either the original for all trials, or retrained models for all; the first `models` of those are what
        every row is compared with, and cannot be used.
        """
        raise NotImplementedError
