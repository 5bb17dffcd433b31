"""Random mask: set a random share of the weights to zero, then fine-tune on retain; a reconstruction.

Source: an entry to the challenge (Triantafillou et al. 2024, arXiv:2406.09073) by the user songxinkuan, of which a short
description alone is public.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from torch import nn

from bench import Method, hookimpl
from bench.method import Paper, Positive, Search, Share
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import smallest, weights

from .finetune import CHALLENGE, FineTune


def mask(model: nn.Module, share: float, trial: Trial) -> None:
    """Set a share of each convolution's and linear layer's weights to zero, chosen at random."""
    for view in weights(model).values():
        view.masked_fill_(smallest(trial.uniform_like(view), share), 0.0)


@dataclass(frozen=True)
class RandomMask(FineTune):
    """Random zeros in the weights, then cross-entropy on retain; the rate follows half a cosine, one step an epoch.

    A reconstruction. The entry's page says that a part of the weights outside batch normalisation is masked at random, and
    that fine-tuning on retain follows; how many, in which layers and how it is trained is not known. Here it is the same
    share of each layer's weights, and the usual fine-tuning of the challenge. Zeros are not held: training moves them. At a
    budget of 20 % of the embedded task's retraining, no setting that a quick search tried keeps utility.

    Source: Triantafillou et al. 2024, arXiv:2406.09073 (songxinkuan).
    """

    share: Annotated[Share, Search(0.05, 0.9)] = 0.3  # ours: not published
    epochs: Annotated[Positive, Search(0.5, 4.0)] = 2.0  # what fits a budget of 20 % of retraining; reconstruction 4
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-2  # ours: ten times the challenge's, as for winners
    paper: ClassVar[Paper] = replace(CHALLENGE, code="")
    reconstruction: ClassVar[str] = "how many weights are masked, in which layers, and how it is trained, was not published"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reconstruction": {"share": 0.3, "epochs": 4.0, "learning_rate": 1e-3}}

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Mask, then repair."""
        mask(model, self.share, trial)
        return super().unlearn(model, data, trial)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register random mask."""
    register(RandomMask)
