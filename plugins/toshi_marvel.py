"""Toshi-marvel: transpose the kernels of all convolutions, then fine-tune on retain.

Source: the sixth of the challenge (Triantafillou et al. 2024, arXiv:2406.09073); settings from the port in xcadet/deepunlearn
(kgltop5). The half of its models that were trained with pseudo-labels is published nowhere that we know of, and is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from torch import nn

from bench import Method, hookimpl
from bench.method import Layer, Paper, Positive, Search
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import weights

from .finetune import CHALLENGE, FineTune


def transpose_kernels(model: nn.Module) -> None:
    """Exchange height and width of every square kernel; those of one pixel stay as they are."""
    for view in weights(model, (nn.Conv2d,)).values():
        if view.shape[-1] == view.shape[-2]:
            view.copy_(view.mT.clone())


@dataclass(frozen=True)
class ToshiMarvel(FineTune):
    """Kernels transposed, then cross-entropy on retain; the rate follows half a cosine, one step an epoch.

    The transposed half of the entry (246 of its 512 models) for all trials. Its other half, 266 models fine-tuned with
    pseudo-labels, could not be read anywhere and is left out, so this is not the whole entry. The start is the same in all
    trials: they differ by their shuffles alone. At a budget of 20 % of the embedded task's retraining, no setting that a
    quick search tried keeps utility.

    Source: Triantafillou et al. 2024, arXiv:2406.09073 (Toshi.K and marvel).
    """

    epochs: Annotated[Positive, Search(0.5, 3.0)] = 2.0  # what fits a budget of 20 % of retraining; published 3
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-2  # public code 1e-3, for ten times as many steps
    needs: ClassVar[tuple[Layer, ...]] = ("convolution",)
    reconstruction: ClassVar[str] = "the half of it that learns from pseudo-labels could not be read anywhere, and is left out"
    paper: ClassVar[Paper] = replace(CHALLENGE, code="https://github.com/xcadet/deepunlearn")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"epochs": 3.0, "learning_rate": 1e-3}}

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Transpose, then repair."""
        transpose_kernels(model)
        return super().unlearn(model, data, trial)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register Toshi-marvel."""
    register(ToshiMarvel)
