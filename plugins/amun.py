"""AMUN: fine-tune on the nearest adversarial examples of forget, with the labels that the original gives these.

Source: Ebrahimpour-Boroojeny et al. 2025, arXiv:2503.00917 (ICML); public code: Ali-E/AMUN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from bench import Method, hookimpl
from bench.losses import cross_entropies
from bench.method import Count, Paper, Positive, Search
from bench.splits import MethodData, Split
from bench.trial import Trial

from .finetune import FineTune

BALLS = 10  # of radii that double; who is not fooled in the last stays as found: from .1 on it is as large as images are apart


def onto_ball(moved: Tensor, radius: float) -> Tensor:
    """Differences [..., d] of length `radius` at most."""
    length: Tensor = moved.norm(dim=-1, keepdim=True)
    return moved * (radius / length.clamp(min=radius))


@dataclass(frozen=True)
class Amun(FineTune):
    """Fine-tuning on retain and, in forget's place, on its nearest adversarial examples, shuffled together.

    The search asks the original in evaluation mode: steps up the gradient of cross-entropy, each back into a ball around the
    image, which doubles every `search_steps` until the original takes the image for another class. That class is the example's
    label. An image that the original gets wrong already is its own example. Nothing of it is random.

    Public code trains on forget with its own labels, too (`with_forget`); what is the default here is its ablation `advonly`. It
    lowers the rate tenfold after every epoch; here the rate falls along half a cosine, in the setting `paper` as well.

    Source: Ebrahimpour-Boroojeny et al. 2025, arXiv:2503.00917.
    """

    epochs: Annotated[Positive, Search(0.25, 2.0)] = 0.79  # quick search; public code has 10
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 5.4e-3  # quick search; public code has 1e-2
    radius: Annotated[Positive, Search(0.02, 0.5, log=True)] = 0.17  # quick search; of the first ball; public code has .04
    search_steps: Annotated[Count, Search(2, 50, log=True)] = 6  # quick search; in each ball; public code has 50
    stride: Annotated[Positive, Search(0.05, 0.5, log=True)] = 0.33  # quick search; of a step, in radii; public code has .1
    use_retain: bool = True  # public code; without, there is nothing to keep utility by
    with_forget: bool = False  # ours: forget with its own labels is not to be learnt; public code has it
    uses_forget: ClassVar[bool] = True
    fixed_share: ClassVar[float] = 0.06  # the search
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
        "paper": {
            "epochs": 10.0,
            "learning_rate": 1e-2,
            "batch_size": 128,
            "radius": 0.04,
            "search_steps": 50,
            "stride": 0.1,
            "with_forget": True,
        }
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Search, then train."""
        model.eval()
        examples = self.examples(model, data.forget, trial)
        model.train()
        parts = (data.retain,) * self.use_retain + (data.forget,) * self.with_forget
        training = reduce(Split.joined, (*parts, examples))
        return super().unlearn(model, replace(data, retain=training), trial)

    def examples(self, model: nn.Module, forget: Split, trial: Trial) -> Split:
        """Forget, with adversarial examples and their classes in place of images and labels."""
        found = []
        for images, labels in forget.batches(self.batch_size, shuffle=False):
            own = images.expand(*trial.lead, *images.shape)  # each model of a stack moves them its own way
            found.append(self.search(model, own, labels.expand(*trial.lead, -1)))
        images, labels = (torch.cat(parts, len(trial.lead)) for parts in zip(*found, strict=True))
        return forget.showing(images).labelled(labels)

    def search(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images that a model takes for another class than their own [..., B], as near as is found, and these classes."""
        found = start = images.flatten(labels.dim())
        for step in range(BALLS * self.search_steps):
            radius = self.radius * 2 ** (step // self.search_steps)
            here = found.clone().requires_grad_()
            logits = model(here.view_as(images))
            fooled = logits.argmax(-1) != labels
            if fooled.all():
                break
            (slope,) = torch.autograd.grad(cross_entropies(logits, labels).sum(), here)
            moved = found + self.stride * radius * normalize(slope, dim=-1) - start
            found = torch.where(fooled[..., None], found, (start + onto_ball(moved, radius)).clamp(0, 1))
        return found.view_as(images), model(found.view_as(images)).argmax(-1)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register AMUN."""
    register(Amun)
