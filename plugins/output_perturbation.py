"""Output perturbation: hide the weights in noise at once, then fine-tune; with a proof.

Source: Koloskova et al. 2025, arXiv:2506.06985 (ICML), which noisy fine-tuning is compared with there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import nn

from bench import Method, hookimpl
from bench.method import Domain, Search
from bench.splits import MethodData
from bench.trial import Trial

from .noised import DELTA, Noised, as_proven


@dataclass(frozen=True)
class OutputPerturbation(Noised):
    """Each model's weights are scaled to norm `radius` at most, and normal noise is added to every one; then a repair.

    Two models of norm `radius` are 2 radius apart at most, and noise covers that: sigma is the Gaussian mechanism's for an
    (`epsilon`, `delta`) of differential privacy (Dwork and Roth 2014, theorem A.1, which is of epsilons below 1). Whatever
    the epsilon, by that sigma the Renyi divergence of order q is q * `rho` at most; the page of a run shows this bound. Then
    weights are scaled to `radius` again and fine-tuned on retain with frozen statistics of batch normalisation, as in noisy
    fine-tuning, whose baseline this is: noise without the walk. What is said there of the proof, and of its price in utility,
    holds here. At a budget of 20 % of the embedded task's retraining, no setting that a quick search tried keeps utility.

    Source: Koloskova et al. 2025, arXiv:2506.06985.
    """

    delta: Annotated[float, Domain(above=0.0, high=1.0), Search(1e-6, 1e-3, log=True)] = DELTA  # that of noisy fine-tuning
    cost: ClassVar[str] = "epochs over retain"

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise."""
        return math.sqrt(2 * math.log(1.25 / self.delta)) * 2 * self.radius / self.epsilon

    @property
    def rho(self) -> float:
        """The Renyi divergence of order q is at most q times that."""
        return (2 * self.radius / self.sigma) ** 2 / 2

    def certificate(self) -> str:
        """What is proven of the models."""
        return as_proven(self.rho, self.delta)

    def hide(self, model: nn.Module, data: MethodData, trial: Trial) -> None:
        """Add noise, once."""
        self.add_noise(model, trial)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register output perturbation."""
    register(OutputPerturbation)
