"""Sun: the last layer anew, then training on retain in which random layers are shaken and trained while others stand still.

Source: the eighth of the challenge (Triantafillou et al. 2024, arXiv:2406.09073, section 5); settings from the port in
xcadet/deepunlearn (kgltop7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from bench import Method, hookimpl
from bench.method import Count, Layer, NotNegative, Paper, Positive, Search, Share
from bench.models.layers import batch_norms, last_linear
from bench.models.stacked import size
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import across, frozen, parameters

from .finetune import CHALLENGE
from .redrawing import reset
from .training import constant, train_on

PARTIAL = 5  # stages in which some tensors stand still; public code
FACTORS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0)  # of the rate in each stage; public code


def choosable(model: nn.Module, *, by_name: bool = False) -> list[str]:
    """The names of the tensors that are not of batch normalisation, or that are not called so, nor frozen."""
    if by_name:
        return [name for name in parameters(model) if "bn" not in name]
    layers = batch_norms(model)
    return [name for name in parameters(model) if name.rpartition(".")[0] not in layers]


def spread(mask: Tensor, view: Tensor) -> Tensor:
    """One truth per model, [M], for every entry of a view [M, ...]."""
    return across(mask, view).expand_as(view)


@dataclass(frozen=True)
class Sun(Method):
    """Nine stages on retain; in the first five, tensors chosen at random are trained with batch normalisation, the rest is held.

    From the second stage on, noise is first added to a share of the chosen tensors, but not to those that were chosen in an
    earlier stage. Each stage has an optimiser of its own. Layers of batch normalisation are known by their type; the public
    code goes by names, so that it counts those of shortcuts among the others (`names`). It chooses nine tensors, here given as a
    share. On a hundred images a stage has one step, and utility is lost. At a budget of 20 % of the embedded task's retraining,
    no setting that a quick search tried keeps utility.

    Source: Triantafillou et al. 2024, arXiv:2406.09073, section 5 (Sun).
    """

    stage: Annotated[Positive, Search(0.05, 1.0, log=True)] = 0.25  # epochs; what fits 20 % of retraining; published 1
    learning_rate: Annotated[Positive, Search(1e-5, 1e-1, log=True)] = 2e-3  # public code 2e-4, for ten times as many steps
    noise: Annotated[NotNegative, Search(1e-3, 1.0, log=True)] = 0.04  # public code; absolute
    chosen: Annotated[Share, Search(0.1, 1.0)] = 0.41  # public code: nine of the 22 tensors of ResNet-18
    shaken: Annotated[Share, Search(0.1, 1.0)] = 0.7  # public code; of the chosen tensors
    names: bool = False  # see above
    batch_size: Count = 64  # public code
    momentum: Share = 0.9  # public code
    weight_decay: NotNegative = 5e-4  # public code
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    budgeted: ClassVar[tuple[str, ...]] = ("stage",)
    needs: ClassVar[tuple[Layer, ...]] = ("linear",)
    cost: ClassVar[str] = "nine stages over retain"
    paper: ClassVar[Paper] = replace(CHALLENGE, code="https://github.com/xcadet/deepunlearn")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"stage": 1.0, "learning_rate": 2e-4, "noise": 0.04, "chosen": 0.41, "shaken": 0.7, "names": True}
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Go through all stages."""
        reset(model, [last_linear(model)[0]], trial)
        seen = torch.zeros(size(model), len(choosable(model, by_name=self.names)), dtype=torch.bool, device=trial.device)
        for stage, factor in enumerate(FACTORS):
            optimizer = SGD(model.parameters(), momentum=self.momentum, weight_decay=self.weight_decay)
            if stage < PARTIAL:
                self.choose(model, optimizer, seen, trial)
            rate = constant(factor * self.learning_rate)
            train_on(model, data.retain, epochs=self.stage, batch_size=self.batch_size, optimizer=optimizer, rate=rate)
        return model

    def choose(self, model: nn.Module, optimizer: Optimizer, seen: Tensor, trial: Trial) -> None:
        """Choose tensors, shake some and hold the others; `seen` [M, tensors] says what earlier stages chose, and is updated."""
        views, names = parameters(model), choosable(model, by_name=self.names)
        count, first = round(self.chosen * len(names)), not seen.any()
        rank = trial.uniform_like(seen.double()).argsort(1).argsort(1)
        chosen, shaken = rank < count, (rank < int(self.shaken * count)) & ~seen
        for index, name in enumerate(names):
            if not first:
                views[name].add_(self.noise * trial.normal_like(views[name]) * spread(shaken[:, index], views[name]))
        held = {name: spread(~chosen[:, index], views[name]) for index, name in enumerate(names)}
        frozen(optimizer, model, held)
        seen |= chosen


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register Sun."""
    register(Sun)
