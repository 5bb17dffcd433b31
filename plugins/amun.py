"""AMUN: fine-tune on the nearest adversarial examples of forget, with the labels that the original gives these.

Source: Ebrahimpour-Boroojeny et al. 2025, arXiv:2503.00917 (ICML); public code: Ali-E/AMUN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.optim import SGD

from bench import Method, hookimpl
from bench.budget import as_fits
from bench.losses import cross_entropies
from bench.method import Count, Paper, Positive, Search
from bench.splits import MethodData, Split
from bench.trial import Trial

from .finetune import FineTune, cosine, train_on

SEARCH = 0.06  # share of a retraining that the search takes
DOUBLINGS = 10  # of the radius: whoever is not fooled by then stays so; images are 55 apart at most


def onto_ball(moved: Tensor, radius: float) -> Tensor:
    """Differences [..., d] of length `radius` at most."""
    length: Tensor = moved.norm(dim=-1, keepdim=True)
    return moved * (radius / length.clamp(min=radius))


def nearest_adversarial(model: nn.Module, images: Tensor, labels: Tensor, radius: float, steps: int) -> tuple[Tensor, Tensor]:
    """Images that a model takes for another class, as near as is found, and these classes: of labels [..., B].

    Each step goes up the loss by a `steps`-th of the radius, back into the ball around the image, and into [0, 1]. After so many
    steps the radius doubles. An image that fools the model, if only as it is, moves no more.
    """
    start = images.flatten(labels.dim())
    found = start
    for doubled in range(DOUBLINGS):
        reach = radius * 2**doubled
        for _ in range(steps):
            here = found.clone().requires_grad_()
            logits = model(here.view_as(images))
            fooled = logits.argmax(-1) != labels
            if fooled.all():
                return found.view_as(images), logits.argmax(-1)
            (slope,) = torch.autograd.grad(cross_entropies(logits, labels).sum(), here)
            moved = found + reach / steps * normalize(slope, dim=-1) - start
            found = torch.where(fooled[..., None], found, (start + onto_ball(moved, reach)).clamp(0, 1))
    return found.view_as(images), model(found.view_as(images)).argmax(-1).detach()


@dataclass(frozen=True)
class Amun(FineTune):
    """Fine-tuning on retain and, in forget's place, on its nearest adversarial examples, shuffled together.

    The search asks the original in evaluation mode, in steps of projected gradient ascent on cross-entropy: the ball around an
    image that the example must lie in doubles until it is found. The example has the class that the original takes it for. An
    image of forget that the original takes for another class already is its own example. Nothing of it is random.

    The public code takes 50 steps from a radius of .04, of a tenth of it each. Here they are fewer, to fit the budget.

    Source: Ebrahimpour-Boroojeny et al. 2025, arXiv:2503.00917.
    """

    epochs: Annotated[Positive, Search(0.25, 2.0)] = 1.0  # what fits a budget of 20 % of retraining; public code has 10
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-2  # public code
    radius: Annotated[Positive, Search(0.02, 0.5, log=True)] = 0.1  # ours; of the first ball, images being in [0, 1]
    search_steps: Annotated[Count, Search(2, 50, log=True)] = 5  # ours; in each ball, to fit the budget
    use_retain: bool = True  # public code; False: adversarial examples alone
    uses_forget: ClassVar[bool] = True
    cost: ClassVar[str] = "epochs over retain and as many examples as forget has, and dozens of passes over forget"
    paper: ClassVar[Paper] = Paper(
        title="Not All Wrong is Bad: Using Adversarial Examples for Unlearning",
        authors="Ebrahimpour-Boroojeny, Ali and Sundaram, Hari and Chandrasekaran, Varun",
        venue="ICML",
        year=2025,
        url="https://arxiv.org/abs/2503.00917",
        code="https://github.com/Ali-E/AMUN",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 10.0, "batch_size": 128, "radius": 0.04, "search_steps": 50}
    }

    def within(self, share: float) -> Self:
        """As many epochs as go into the budget, beside the search, where the default goes into the usual one."""
        return replace(self, epochs=as_fits(self.epochs, share, SEARCH))

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Search, then train."""
        model.eval()
        examples = self.examples(model, data.forget, trial)
        model.train()
        training = data.retain.joined(examples) if self.use_retain else examples
        optimizer = SGD(model.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        rate = cosine(self.learning_rate, self.epochs)
        train_on(model, training, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate)
        return model

    def examples(self, model: nn.Module, forget: Split, trial: Trial) -> Split:
        """Forget, with adversarial examples and their classes in place of images and labels."""
        found = []
        for images, labels in forget.batches(self.batch_size, shuffle=False):
            own = images.expand(*trial.lead, *images.shape)  # each model of a stack moves them its own way
            found.append(nearest_adversarial(model, own, labels.expand(*trial.lead, -1), self.radius, self.search_steps))
        images, labels = (torch.cat(parts, len(trial.lead)) for parts in zip(*found, strict=True))
        return forget.showing(images).labelled(labels)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register AMUN."""
    register(Amun)
