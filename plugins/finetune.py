"""Fine-tune on the retain set only: the challenge's baseline.

Source: Triantafillou et al. 2024, arXiv:2406.09073; defaults from the challenge's evaluation code
(google-deepmind/unlearning_evaluation, main.py), kept untuned, so that the baseline row is the challenge's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData
from bench.trial import Trial

from .training import cosine, train_on

CHALLENGE = Paper(
    title="Are we making progress in unlearning? Findings from the first NeurIPS unlearning competition",
    authors="Triantafillou, Eleni and Kairouz, Peter and Pedregosa, Fabian and others",
    venue="arXiv",
    year=2024,
    url="https://arxiv.org/abs/2406.09073",
    code="https://github.com/google-deepmind/unlearning_evaluation",
)


@dataclass(frozen=True)
class FineTune(Method):
    """Cross-entropy on retain with momentum; the rate follows half a cosine, one step an epoch.

    With one epoch, as in the challenge's baseline, the rate is constant.

    Source: Triantafillou et al. 2024, arXiv:2406.09073 (evaluation code, do_unlearning).
    """

    epochs: Annotated[Positive, Search(0.25, 2.0)] = 1.0  # evaluation code
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-3  # evaluation code
    batch_size: Count = 64  # evaluation code
    momentum: Share = 0.9  # evaluation code
    weight_decay: NotNegative = 5e-4  # evaluation code
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over retain"
    paper: ClassVar[Paper] = CHALLENGE

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Train on retain."""
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        rate = cosine(self.learning_rate, self.epochs)
        train_on(model, data.retain, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register fine-tuning."""
    register(FineTune)
