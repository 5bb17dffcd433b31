"""NegGrad+: descend the loss on retain while ascending it on forget.

Source: Kurmanji et al. 2023, arXiv:2302.09880, section 4 (their strengthened baseline). The forget loss is capped, so that
an example which is wrong enough already pulls no further.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy, step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData
from bench.trial import Trial

from .scrub import Scrub


@dataclass(frozen=True)
class NegGradPlus(Method):
    """alpha * cross-entropy(retain) - (1 - alpha) * cross-entropy(forget), a batch of each per step.

    Source: Kurmanji et al. 2023, arXiv:2302.09880.
    """

    alpha: Annotated[Share, Search(0.5, 1.0)] = 0.785  # search on the embedded task (docs/evidence/tuning.md)
    epochs: Annotated[Positive, Search(0.5, 2.0)] = 1.5  # search
    learning_rate: Annotated[Positive, Search(3e-4, 3e-2, log=True)] = 6.5e-3  # search
    forget_loss_cap: Annotated[NotNegative, Search(1.0, 8.0)] = 3.0  # nats, on the batch's mean loss; search
    retain_batch: Annotated[Count, Search(64, 256, log=True)] = 128  # search
    forget_batch: Annotated[Count, Search(16, 128, log=True)] = 16  # search
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    cost: ClassVar[str] = "epochs over retain, with a batch of forget in every step"
    paper: ClassVar[Paper] = Scrub.paper

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Train on retain and forget at once; forget starts again when it is through."""
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=0.9, weight_decay=5e-4)
        forget = data.forget.epochs(math.inf, self.forget_batch)
        retain = data.retain.epochs(self.epochs, self.retain_batch)
        for (images, labels), (forget_images, forget_labels) in zip(retain, forget, strict=False):
            keep = cross_entropy(model(images), labels)
            lose = cross_entropy(model(forget_images), forget_labels).clamp(max=self.forget_loss_cap)
            step(optimizer, self.alpha * keep - (1 - self.alpha) * lose)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register NegGrad+."""
    register(NegGradPlus)
