"""Noisy fine-tuning: shrink the weights, walk over retain with clipped steps and noise, then fine-tune; with a proof.

Source: Koloskova et al. 2025, arXiv:2506.06985 (ICML), gradient clipping.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, ClassVar

from torch import nn

from bench import Method, hookimpl
from bench.losses import cross_entropy
from bench.method import Count, NotNegative, Positive, Search
from bench.splits import Columns, MethodData
from bench.trial import Trial
from bench.weights import clip, gradients, parameters

from .noised import DELTA, Noised, as_proven


@dataclass(frozen=True)
class NoisyFineTune(Noised):
    """Each model's weights are scaled to norm `radius` at most; then `steps` clipped steps with noise; then a repair.

    A step is theta <- theta - rate * (gradient of norm `max_norm` at most + shrinkage * theta) + sigma * normal noise on every
    weight, with sigma from `epsilon` as published; a gradient that is not finite, as deep networks have when they are full of
    noise, counts as 0. Two walks over the same batches that begin 2 radius apart at most drift apart by 2 rate max_norm a step at
    most, and noise covers that: by shifts (Feldman et al. 2018, arXiv:1808.06651) the Renyi divergence of every order q between
    where this walk and one of a model that never saw forget end is q * `rho` at most. As published, sigma gives a rho of 2
    epsilon without shrinkage, and of epsilon with it; the paper takes radius / (max_norm rate) steps or more, which this bound
    does not need. Then weights are scaled to `radius` again, which is ours, as the repair would not be finite without, and
    fine-tuned on retain.

    The proof is of weights, given the statistics of batch normalisation: these are frozen at the original's, which saw
    forget, through the walk and the repair. Of a network without such statistics it holds to the end. It does not cover
    frozen weights. Noise that hides radius leaves the square root of (epsilon / number of weights) of what there was: of tens
    of thousands of weights an epsilon of 1 leaves nothing, and the budget does not suffice to learn it again. Utility is
    lost: that is what the proof costs here. At a budget of 20 % of the embedded task's retraining, no setting that a quick
    search tried keeps utility.

    Source: Koloskova et al. 2025, arXiv:2506.06985.
    """

    max_norm: Annotated[Positive, Search(0.1, 10.0, log=True)] = 1.0  # ours
    rate: Annotated[Positive, Search(1e-3, 1.0, log=True)] = 0.1  # ours
    shrinkage: NotNegative = 0.0  # ours: without
    steps: Count = 10  # ours
    budgeted: ClassVar[tuple[str, ...]] = ("steps", "epochs")
    cost: ClassVar[str] = "steps and epochs over retain"

    def __post_init__(self) -> None:
        if self.rate * self.shrinkage >= 1:
            raise ValueError(
                f"rate times shrinkage is {self.rate * self.shrinkage:g}; a step must keep some of the weights: below 1"
            )

    @property
    def fading(self) -> float:
        """Logarithm of what a step keeps of the weights."""
        return math.log1p(-self.rate * self.shrinkage)

    @property
    def drift(self) -> float:
        """How far two walks can be apart at the end, if there were no noise."""
        faded = math.expm1(self.steps * self.fading)
        reach = -faded / self.shrinkage if self.fading else self.rate * self.steps
        return 2 * self.radius * (1 + faded) + 2 * self.max_norm * reach

    @property
    def noises(self) -> float:
        """How many steps' noise counts at the end: what shrinks later counts less."""
        return math.expm1(2 * self.steps * self.fading) / math.expm1(2 * self.fading) if self.fading else self.steps

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise of a step."""
        return self.drift / math.sqrt((2 if self.fading else 4) * self.epsilon * self.noises)

    @property
    def rho(self) -> float:
        """The Renyi divergence of order q is at most q times that."""
        return self.drift**2 / (2 * self.sigma**2 * self.noises)

    def certificate(self) -> str:
        """What is proven of the models."""
        return as_proven(self.rho, DELTA)

    def hide(self, model: nn.Module, data: MethodData, trial: Trial) -> None:
        """Walk, with noise after every step."""
        for batch in islice(data.retain.epochs(math.inf, self.batch_size), self.steps):
            self.walk(model, batch)
            self.add_noise(model, trial)

    def walk(self, model: nn.Module, batch: Columns) -> None:
        """A step without its noise."""
        images, labels = batch
        model.zero_grad()
        cross_entropy(model(images), labels).sum().backward()
        clip(model, self.max_norm)
        slopes = gradients(model)
        for name, view in parameters(model).items():
            slope = slopes[name].nan_to_num(0.0, 0.0, 0.0)  # of norm max_norm at most, too
            view.sub_(self.rate * (slope + self.shrinkage * view))


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register noisy fine-tuning."""
    register(NoisyFineTune)
