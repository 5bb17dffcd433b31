"""Bad teacher: learn from a random network on forget, and from the original one on retain.

Source: Chundawat et al. 2023, arXiv:2205.08096; public code: vikram2000b/bad-teaching-unlearning,
if-loops/selective-synaptic-dampening. Neither teacher changes, so their logits are computed once and follow the shuffle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn
from torch.optim import Adam

from bench import Method, hookimpl
from bench.losses import kl_divergence, step
from bench.method import Count, NotNegative, Paper, Positive, Search, Share
from bench.splits import MethodData, Split, predict
from bench.trial import Trial


@dataclass(frozen=True)
class BadTeacher(Method):
    """Divergence from a freshly initialised network on forget, and from the original on a sample of retain, shuffled together.

    The sample is drawn once. Both teachers are in evaluation mode, the student in train mode. The divergence is the sum over
    classes and the mean over examples, times the squared temperature; the public code takes the mean over classes too
    (`published_scale`), which is smaller by the number of classes and hardly matters to Adam. The random network is drawn for
    each trial, of the student's own kind.

    Source: Chundawat et al. 2023, arXiv:2205.08096.
    """

    epochs: Annotated[Positive, Search(1.0, 6.0)] = 2.5  # quick search; public code has 1, or 10
    retain_share: Annotated[Share, Search(0.1, 1.0)] = 0.63  # quick search; public code (SSD) has .3
    learning_rate: Annotated[Positive, Search(1e-5, 1e-2, log=True)] = 1.7e-3  # quick search; public code (SSD) has 1e-4
    batch_size: Count = 64  # that of the embedded task's training; public code has 256
    temperature: Positive = 1.0  # public code
    weight_decay: NotNegative = 0.0  # public code; added to the gradient
    published_scale: bool = False  # see above
    stackable: ClassVar[bool] = True
    budgeted: ClassVar[tuple[str, ...]] = ("epochs",)
    fixed_share: ClassVar[float] = 0.02  # the teachers' answers
    cost: ClassVar[str] = "epochs over forget and a share of retain, and one pass over both"
    paper: ClassVar[Paper] = Paper(
        title="Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks using an Incompetent Teacher",
        authors="Chundawat, Vikram S and Tarun, Ayush K and Mandal, Murari and Kankanhalli, Mohan",
        venue="AAAI",
        year=2023,
        url="https://arxiv.org/abs/2205.08096",
        code="https://github.com/vikram2000b/bad-teaching-unlearning",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 10.0, "retain_share": 1.0, "learning_rate": 1e-2, "batch_size": 256, "published_scale": True},
        "ssd": {"epochs": 1.0, "retain_share": 0.3, "learning_rate": 1e-4, "batch_size": 256, "published_scale": True},
    }

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Learn from both teachers."""
        taught = self.taught(model, data, trial)
        optimizer = Adam(model.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        for images, _, teacher in taught.epochs(self.epochs, self.batch_size):
            step(optimizer, self.loss(teacher, model(images)))
        return model

    def taught(self, model: nn.Module, data: MethodData, trial: Trial) -> Split:
        """A sample of retain, and forget, with their teachers' logits as a third column."""
        sample = data.retain.sample(int(self.retain_share * len(data.retain)))
        good, bad = predict(model, sample), predict(trial.fresh_model(), data.forget)
        return sample.carrying(good).joined(data.forget.carrying(bad))

    def loss(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Divergence from the teacher's logits."""
        divergence = kl_divergence(teacher, student, self.temperature)
        return divergence / student.shape[-1] if self.published_scale else divergence


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register bad teacher."""
    register(BadTeacher)
