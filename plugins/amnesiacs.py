"""Amnesiacs: begin and end of the network anew, taught by the original on validation, then on retain.

Source: the seventh of the challenge (Triantafillou et al. 2024, arXiv:2406.09073, section 5); settings from the port in
xcadet/deepunlearn (kgltop6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy, kl_divergence
from bench.method import Count, Layer, NotNegative, Paper, Positive, Search, Share
from bench.models.layers import last_linear
from bench.splits import MethodData, Split, predict
from bench.trial import Trial
from bench.weights import first_convolution

from .finetune import CHALLENGE
from .redrawing import reset
from .training import Loss, Schedule, constant, cosine, train_on


@dataclass(frozen=True)
class Amnesiacs(Method):
    """Draw the first convolution and the last linear layer anew; learn from the original on validation, then on retain.

    On validation the loss is the divergence from the original's answers; on retain cross-entropy, the same with the
    original's answers in the place of labels, and the divergence, so that the original counts twice. None of them is
    multiplied by the temperature's square. The original answers in evaluation mode. Frozen layers are not drawn anew: the
    convolution is the first of the others. The repair takes dozens of steps: on a hundred images utility is lost. At a budget
    of 20 % of the embedded task's retraining, no setting that a quick search tried keeps utility.

    Source: Triantafillou et al. 2024, arXiv:2406.09073, section 5 (Amnesiacs).
    """

    warm_up_epochs: Annotated[NotNegative, Search(0.5, 5.0)] = 3.0  # public code; validation is small
    epochs: Annotated[Positive, Search(0.5, 3.0)] = 1.5  # what fits a budget of 20 % of retraining; published 3
    warm_up_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 9e-3  # public code 9e-4, for ten times as many steps
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-2  # public code 1e-3, for ten times as many steps
    temperature: Annotated[Positive, Search(1.0, 10.0)] = 5.0  # public code
    batch_size: Count = 64  # public code
    momentum: Share = 0.9  # public code
    weight_decay: NotNegative = 5e-4  # public code
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    budgeted: ClassVar[tuple[str, ...]] = ("warm_up_epochs", "epochs")
    fixed_share: ClassVar[float] = 0.03  # the teacher's answers on retain
    needs: ClassVar[tuple[Layer, ...]] = ("convolution", "linear")
    cost: ClassVar[str] = "epochs over retain, warm-up epochs over validation"
    paper: ClassVar[Paper] = replace(CHALLENGE, code="https://github.com/xcadet/deepunlearn")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"warm_up_epochs": 3.0, "epochs": 3.0, "warm_up_rate": 9e-4, "learning_rate": 1e-3, "temperature": 5.0}
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Draw anew, warm up, repair."""
        validation, retain = (split.carrying(predict(model, split)) for split in (data.validation, data.retain))
        reset(model, [first_convolution(model), last_linear(model)[0]], trial)
        self.train(model, validation, self.warm_up_epochs, constant(self.warm_up_rate), self.divergence)
        self.train(model, retain, self.epochs, cosine(self.learning_rate, self.epochs), self.loss)
        return model

    def train(self, model: nn.Module, split: Split, epochs: float, rate: Schedule, loss: Loss) -> None:
        """Minimise a loss on a split that carries the teacher's logits, with an optimiser of its own."""
        optimizer = SGD(model.parameters(), momentum=self.momentum, weight_decay=self.weight_decay)
        train_on(model, split, epochs=epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate, loss=loss)

    def divergence(self, logits: Tensor, labels: Tensor, teacher: Tensor, epoch: float = 0.0) -> Tensor:
        """What is minimised on validation."""
        return kl_divergence(teacher, logits, self.temperature) / self.temperature**2

    def loss(self, logits: Tensor, labels: Tensor, teacher: Tensor, epoch: float = 0.0) -> Tensor:
        """What is minimised on retain."""
        targets, log_q = (teacher / self.temperature).softmax(-1), (logits / self.temperature).log_softmax(-1)
        soft = -(targets * log_q).sum(-1).mean(-1)
        return cross_entropy(logits, labels) + soft + self.divergence(logits, labels, teacher)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register Amnesiacs."""
    register(Amnesiacs)
