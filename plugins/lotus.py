"""LoTUS: teach forget what the original thinks of it, the vaguer the better forget is still known than strangers.

Source: Spartalis et al. 2025, arXiv:2503.18314 (CVPR); public code: cspartalis/LoTUS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from bench import Method, hookimpl
from bench.losses import step
from bench.method import Count, Domain, NotNegative, Paper, Positive, Search, Share
from bench.splits import Columns, MethodData, Split, error, predict
from bench.trial import Trial
from bench.weights import choose, snapshot

ENOUGH = -0.01  # public code: accuracy on forget less that on validation at which a model has forgotten


def temperature(known: Tensor, alpha: float) -> Tensor:
    """How vague the teacher is, from accuracy on forget less that on validation: one value per model."""
    return (alpha * known).exp()


def sampled(logits: Tensor, uniform: Tensor, temperatures: Tensor) -> Tensor:
    """Draws of Gumbel-softmax (Jang et al. 2017, arXiv:1611.01144) from logits [..., B, K], made of uniform numbers."""
    gumbel = -(-uniform.clamp(min=torch.finfo(uniform.dtype).tiny).log()).log()
    return ((logits + gumbel) / temperatures[..., None, None]).softmax(-1)


def soft_cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Of every example, [..., B]."""
    return -(target * logits.log_softmax(-1)).sum(-1)


@dataclass(frozen=True)
class Lotus(Method):
    """Soft cross-entropy on forget and a random part of retain with draws from the original's softened answers.

    Before each epoch the temperature on forget is exp(alpha * (accuracy on forget - the original's on validation)); a model whose
    accuracy on forget is lower than that by .01 has forgotten, and keeps the weights that it then had. Draws for retain are made
    hard, at temperature 1. The part of retain is drawn once. The original answers in evaluation mode.

    Source: Spartalis et al. 2025, arXiv:2503.18314.
    """

    epochs: Annotated[Count, Search(1, 8)] = 5  # quick search; public code has 3 to 10
    learning_rate: Annotated[Positive, Search(1e-5, 1e-2, log=True)] = 2.7e-4  # quick search; public code has 1e-4 for ResNet
    alpha: Annotated[float, Domain(low=0.0, high=20.0), Search(0.5, 8.0, log=True)] = 2.9  # quick search; public code has 2
    retain_share: Annotated[Share, Search(0.1, 1.0)] = 0.13  # quick search; public code has .3
    batch_size: Count = 64  # that of the embedded task's training; public code has 128
    weight_decay: NotNegative = 5e-4  # public code; apart from the gradient
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    fixed_share: ClassVar[float] = 0.04  # the teacher's answers, and accuracies
    cost: ClassVar[str] = "epochs over forget and a share of retain, and one pass over everything"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 10, "learning_rate": 1e-4, "alpha": 2.0, "retain_share": 0.3, "batch_size": 128}
    }
    paper: ClassVar[Paper] = Paper(
        title="LoTUS: Large-Scale Machine Unlearning with a Taste of Uncertainty",
        authors="Spartalis, Christoforos N. and Semertzidis, Theodoros and Gavves, Efstratios and Daras, Petros",
        venue="CVPR",
        year=2025,
        url="https://arxiv.org/abs/2503.18314",
        code="https://github.com/cspartalis/LoTUS",
    )

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Train for all epochs, and give each model the weights that it had when it had forgotten."""
        retain, forget = (split.carrying(predict(model, split)) for split in (data.retain, data.forget))
        usual, retain = 1 - error(model, data.validation), retain.sample(int(self.retain_share * len(retain)))
        optimizer = AdamW(model.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        points, left = [snapshot(model)], torch.zeros_like(usual.view(-1), dtype=torch.int64)
        going = torch.ones_like(left, dtype=torch.bool)
        for _ in range(self.epochs):
            known = 1 - error(model, data.forget) - usual
            going &= known.view(-1) > ENOUGH
            left += going
            for batch in self.batches(retain, forget):
                self.learn(model, optimizer, batch, temperature(known, self.alpha), trial)
            points.append(snapshot(model))
        choose(model, points, left)
        return model

    def batches(self, retain: Split, forget: Split) -> Iterator[Columns]:
        """An epoch: images, labels, the teacher's logits, and whether an example is of forget."""
        marked = forget.carrying(torch.ones_like(forget.labels))
        return retain.carrying(torch.zeros_like(retain.labels)).joined(marked).batches(self.batch_size)

    def learn(self, model: nn.Module, optimizer: AdamW, batch: Columns, temperatures: Tensor, trial: Trial) -> None:
        """One step on what the teacher says, softly of forget and firmly of retain."""
        images, _, teacher, is_forget = batch
        uniform = trial.uniform_like(teacher if trial.stacked else teacher[None]).view_as(teacher)
        soft = sampled(teacher, uniform, temperatures.to(teacher.dtype))
        plain = sampled(teacher, uniform, torch.ones_like(temperatures, dtype=teacher.dtype))
        hard = torch.zeros_like(plain).scatter(-1, plain.argmax(-1, keepdim=True), 1.0)
        target = torch.where(is_forget[..., None].bool(), soft, hard)
        step(optimizer, soft_cross_entropy(target, model(images)).mean(-1))


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register LoTUS."""
    register(Lotus)
