"""RUM: split forget by how far it is memorised, and unlearn each part by what is best for it.

Source: Zhao et al. 2024, arXiv:2406.01257 (NeurIPS); public code: kairanzhao/RUM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from torch import nn

from bench import Method, hookimpl
from bench.losses import cross_entropies
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData, Split, predict
from bench.trial import Trial

from .finetune import FineTune
from .salun import SalUn


def memorised_most(model: nn.Module, forget: Split) -> tuple[Split, ...]:
    """Thirds of forget, the least confident of its own labels first; the first ones have an example more if need be.

    Little confidence stands for much memorisation, as in arXiv:2410.16516.
    """
    order = cross_entropies(predict(model, forget), forget.labels).argsort(dim=-1, descending=True, stable=True)
    return tuple(forget.at(positions) for positions in order.tensor_split(3, -1))


@dataclass(frozen=True)
class Rum(Method):
    """Nothing for the third of forget that is memorised least, fine-tuning for the middle one, then SalUn for the one most.

    Memorised most is what the original is least confident of: what retrained models make of an example, by which memorisation is
    defined, a method does not see. SalUn begins with what fine-tuning left. Fine-tuning sees retain alone, so of forget only the
    last third is learnt from; in public code fine-tuning still sees that third, with its labels. Settings are those of the two
    methods; those of the paper depend on the data.

    Source: Zhao et al. 2024, arXiv:2406.01257.
    """

    finetune_epochs: Annotated[Positive, Search(0.25, 1.5)] = 0.33  # quick search
    finetune_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 9.7e-3  # quick search
    salun_epochs: Annotated[Positive, Search(0.25, 1.5)] = 0.9  # quick search
    salun_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 6.6e-3  # quick search
    share: Annotated[Share, Search(0.1, 1.0)] = 0.9  # quick search; of weights
    batch_size: Count = 64  # that of both
    momentum: Share = 0.9  # that of both
    weight_decay: NotNegative = 5e-4  # that of both
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("finetune_epochs", "salun_epochs")
    fixed_share: ClassVar[float] = 0.01  # passes over forget that choose
    cost: ClassVar[str] = "epochs over retain and a third of forget, a gradient pass over that, a forward pass over forget"
    paper: ClassVar[Paper] = Paper(
        title="What makes unlearning hard and what to do about it",
        authors="Zhao, Kairan and Kurmanji, Meghdad and Barbulescu, George-Octavian and others",
        venue="NeurIPS",
        year=2024,
        url="https://arxiv.org/abs/2406.01257",
        code="https://github.com/kairanzhao/RUM",
    )

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Split by the original, then go through the parts."""
        most, middle, _ = memorised_most(model, data.forget)
        for method, forget in ((self.finetune, middle), (self.salun, most)):
            model = method.unlearn(model, replace(data, forget=forget), trial)
        return model

    @property
    def finetune(self) -> Method:
        """What the middle third gets."""
        return FineTune(self.finetune_epochs, self.finetune_rate, self.batch_size, self.momentum, self.weight_decay)

    @property
    def salun(self) -> Method:
        """What the third that is memorised most gets."""
        return SalUn(
            epochs=self.salun_epochs,
            learning_rate=self.salun_rate,
            share=self.share,
            batch_size=self.batch_size,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register RUM."""
    register(Rum)
