"""EU-k: draw the last k blocks anew and train them from there on retain; all before them is frozen.

Source: Goel et al. 2022, arXiv:2201.06640; constants from public code (meghdadk/SCRUB).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import nn

from bench import Method, hookimpl
from bench.method import CountFromZero, NotNegative, Positive, Search, Share
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import parameters

from .cf_k import CfK
from .training import Schedule


def redraw(model: nn.Module, parts: Sequence[str], trial: Trial, *, statistics: bool) -> None:
    """Give parts of a network fresh weights, but for frozen ones, and with `statistics` fresh running statistics."""
    tensors = [*parameters(model), *(name for name, _ in model.named_buffers() if statistics)]
    within = tuple(f"{part}." for part in parts)
    fresh = trial.fresh_model().state_dict()
    drawn = {name: fresh[name] for name in tensors if name.startswith(within) and name in fresh}
    model.load_state_dict(drawn, strict=False)


@dataclass(frozen=True)
class EuK(CfK):
    """CF-k from fresh weights: the last k blocks and the last linear layer are those of a freshly initialised network.

    Their weights are drawn as the network draws them. Sources go on with the original model's running statistics, in evaluation
    mode, under new weights; here statistics of the new blocks begin anew and are trained (`train_statistics=False` does as
    sources do). A budget is spent entirely on the new blocks, which need it. Once `decay_epochs` have passed, the rate falls;
    SCRUB's code falls to a rate that belongs to another method, which is not imitated.

    Source: Goel et al. 2022, arXiv:2201.06640.
    """

    k: Annotated[CountFromZero, Search(0, 3)] = 0  # quick search; public code has 1
    epochs: Annotated[Positive, Search(0.5, 4.0)] = 2.9  # quick search; public code has 30
    learning_rate: Annotated[Positive, Search(1e-3, 3e-1, log=True)] = 0.07  # quick search; public code has 1e-2
    penalty: Annotated[NotNegative, Search(1e-4, 1.0, log=True)] = 2.1e-3  # quick search; public code has .1
    train_statistics: bool = True  # see above
    decay_epochs: tuple[int, ...] = (10, 15, 20)  # public code: the rate falls after each
    decay_rate: Share = 0.1  # public code: times the rate
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scrub": {
            "k": 1,
            "epochs": 30.0,
            "learning_rate": 1e-2,
            "batch_size": 64,
            "penalty": 0.1,
            "head": False,
            "train_statistics": False,
        }
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Draw the last blocks anew, and train them."""
        redraw(model, self.parts(model), trial, statistics=self.train_statistics)
        return super().unlearn(model, data, trial)

    def rate(self) -> Schedule:
        """The rate falls after each of `decay_epochs`."""
        return lambda epoch: self.learning_rate * self.decay_rate ** sum(end < math.floor(epoch) for end in self.decay_epochs)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register EU-k."""
    register(EuK)
