"""CF-k: fine-tune the last k blocks on retain, so that they forget what they are not reminded of; all before them is frozen.

Source: Goel et al. 2022, arXiv:2201.06640; constants from public code (meghdadk/SCRUB, ndb796/MachineUnlearning).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn
from torch.optim import SGD

from bench import BenchError, Method, hookimpl
from bench.method import Count, CountFromZero, Layer, NotNegative, Paper, Positive, Search
from bench.models.layers import blocks, last_linear
from bench.splits import MethodData
from bench.trial import Trial
from bench.weights import only, sums

from .training import Schedule, constant, plain, train_on

EVALUATIONS = Paper(
    title="Towards Adversarial Evaluations for Inexact Machine Unlearning",
    authors="Goel, Shashwat and Prabhu, Ameya and Sanyal, Amartya and others",
    venue="arXiv",
    year=2022,
    url="https://arxiv.org/abs/2201.06640",
    code="https://github.com/shash42/Evaluating-Inexact-Unlearning",
)


@dataclass(frozen=True)
class CfK(Method):
    """Plain gradient descent in the last k blocks and the last linear layer, on cross-entropy plus a penalty.

    The penalty is half of `penalty` times the squared distance from where their weights began. A block is a part of the network
    that is made of layers and holds convolutions; where there is but one, which wraps the network, a part of that. SCRUB's code
    leaves the last linear layer frozen (`head=False`). All sources train in evaluation mode, so that statistics of batch
    normalisation stay, which is the default here too; `train_statistics` lets those of the trained blocks move, never those of
    frozen ones. The rate is constant: the epochs after which sources lower it are never reached.

    Source: Goel et al. 2022, arXiv:2201.06640.
    """

    k: Annotated[CountFromZero, Search(0, 3)] = 0  # quick search; public code (SCRUB) has 1, of four blocks
    epochs: Annotated[Positive, Search(0.5, 4.0)] = 2.9  # quick search; public code has 10
    learning_rate: Annotated[Positive, Search(1e-3, 1e-1, log=True)] = 7.5e-3  # quick search; public code has 1e-2
    batch_size: Count = 64  # public code (SCRUB)
    penalty: Annotated[NotNegative, Search(1e-4, 1.0, log=True)] = 1.5e-3  # quick search; public code has .1
    head: bool = True  # public code (MUFAC)
    train_statistics: bool = False  # public code
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    needs: ClassVar[tuple[Layer, ...]] = ("convolution", "linear")
    cost: ClassVar[str] = "epochs over retain, backward through the last blocks only"
    paper: ClassVar[Paper] = EVALUATIONS
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scrub": {"k": 1, "epochs": 10.0, "learning_rate": 1e-2, "batch_size": 64, "penalty": 0.1, "head": False},
        "mufac": {"k": 2, "epochs": 2.0, "learning_rate": 1e-3, "batch_size": 64, "penalty": 0.0, "head": True},
    }

    def __post_init__(self) -> None:
        if not self.k and not self.head:
            raise ValueError("with k 0 and without the head there is nothing to train")

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Train the last parts."""
        with only(model, self.parts(model), train_statistics=self.train_statistics) as trained:
            self.fit(model, trained, data)
        return model

    def parts(self, model: nn.Module) -> list[str]:
        """The last k blocks, and with `head` the last linear layer.

        Raises:
            BenchError: the network has fewer blocks.
        """
        known = blocks(model)
        if self.k > len(known):
            raise BenchError(f"k is {self.k}, and the network has {len(known)} blocks: {', '.join(known) or 'none'}")
        return known[len(known) - self.k :] + [last_linear(model)[0]] * self.head

    def fit(self, model: nn.Module, trained: Sequence[nn.Parameter], data: MethodData) -> None:
        """Descend in some parameters, held to where they begin."""
        start = [parameter.detach().clone() for parameter in trained]

        def loss(logits: Tensor, labels: Tensor, epoch: float) -> Tensor:
            if not self.penalty:
                return plain(logits, labels, epoch)
            moved = sums(model, [(now - then).square() for now, then in zip(trained, start, strict=True)])
            return plain(logits, labels, epoch) + self.penalty / 2 * moved

        optimizer, rate = SGD(trained, self.learning_rate), self.rate()
        train_on(model, data.retain, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer, rate=rate, loss=loss)

    def rate(self) -> Schedule:
        """The learning rate throughout."""
        return constant(self.learning_rate)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register CF-k."""
    register(CfK)
