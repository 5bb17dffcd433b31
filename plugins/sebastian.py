"""Sebastian: prune nearly all weights, draw new ones in their place, and train on retain to be as sure as the original.

Source: the fifth of the challenge (Triantafillou et al. 2024, arXiv:2406.09073, section 5); settings from the port in
xcadet/deepunlearn (kgltop4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Layer, Paper, Positive, Search, Share
from bench.models.layers import batch_norms
from bench.splits import MethodData, Split, predict
from bench.trial import Trial
from bench.weights import Views, assign, flat, parameters, state, weights

from .finetune import CHALLENGE, FineTune
from .redrawing import initial, least
from .training import constant, train_on

RARITY = 0.1  # public code: a class counts by its number of retain examples to the power of minus this


def layers(model: nn.Module) -> Views:
    """Weights and biases of convolutions and linear layers that are not frozen."""
    kept = set(weights(model)) | {name.removesuffix("weight") + "bias" for name in weights(model)}
    return {name: view for name, view in parameters(model).items() if name in kept}


def prune(model: nn.Module, share: float) -> None:
    """Per model, set the share of all entries of `layers` that are nearest to zero to zero."""
    views = layers(model)
    table = flat(views)
    assign(views, table.masked_fill(least(table, share), 0.0))


def redraw(model: nn.Module, trial: Trial) -> None:
    """Draw weights that are zero anew, as torch initialises them; biases stay."""
    for view in weights(model).values():
        view.copy_(torch.where(view == 0, initial(view, view[0, 0].numel(), trial), view))


def halve(model: nn.Module) -> None:
    """Round weights and statistics of batch normalisation to half precision; other buffers are none of training's."""
    statistics = {f"{layer}.running_{which}" for layer in batch_norms(model) for which in ("mean", "var")}
    for name, view in state(model).items():
        if name in statistics | set(parameters(model)):
            view.copy_(view.half())


def entropy(logits: Tensor) -> Tensor:
    """Of each example's answer."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def surely(logits: Tensor, labels: Tensor, teacher: Tensor, class_weights: Tensor) -> Tensor:
    """Weighted cross-entropy, and how far each answer's entropy is from that of the teacher, squared."""
    return cross_entropy(logits, labels, class_weights) + (entropy(logits) - entropy(teacher)).square().mean(-1)


def rarity(retain: Split, classes: int) -> Tensor:
    """Weights of classes [K]; a class without examples counts as one with one."""
    return torch.bincount(retain.labels, minlength=classes).clamp(min=1).double() ** -RARITY


@dataclass(frozen=True)
class Sebastian(FineTune):
    """Prune the smallest weights of all layers together, draw them anew, and train with weighted classes and kept entropies.

    Biases may be pruned, too, and then start from zero. The original answers in evaluation mode. At the end, weights and
    statistics are rounded to half precision. The public code makes its optimiser before it prunes, which has no effect. So
    much is drawn anew that the repair takes dozens of steps: on a hundred images utility is lost. At a budget of 20 % of the
    embedded task's retraining, no setting that a quick search tried keeps utility.

    Source: Triantafillou et al. 2024, arXiv:2406.09073, section 5 (Sebastian).
    """

    share: Annotated[Share, Search(0.3, 0.99)] = 0.99  # public code; of weights and biases, which are drawn anew
    epochs: Annotated[Positive, Search(0.5, 3.2)] = 2.0  # what fits a budget of 20 % of retraining; published 3.2
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 5e-3  # public code 5e-4, for ten times as many steps
    fixed_share: ClassVar[float] = 0.03  # the teacher's answers on retain
    needs: ClassVar[tuple[Layer, ...]] = ("linear",)
    paper: ClassVar[Paper] = replace(CHALLENGE, code="https://github.com/xcadet/deepunlearn")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"share": 0.99, "epochs": 3.2, "learning_rate": 5e-4}}

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Prune, draw anew, repair, round."""
        retain = data.retain.carrying(predict(model, data.retain))
        class_weights = rarity(data.retain, trial.classes).to(retain.columns[2].dtype)
        prune(model, self.share)
        redraw(model, trial)
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        batches = retain.steps(self.batch_size)
        steps = int(batches * self.epochs) + 1
        train_on(
            model,
            retain,
            epochs=steps / batches,
            batch_size=self.batch_size,
            optimizer=optimizer,
            rate=constant(self.learning_rate),
            loss=lambda logits, labels, teacher, _: surely(logits, labels, teacher, class_weights),
        )
        halve(model)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register Sebastian."""
    register(Sebastian)
