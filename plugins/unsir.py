"""UNSIR: impair with noise that is driven away from forget, then repair on retain.

Source: Tarun et al. 2023, arXiv:2111.08947, as Choi and Na 2023, arXiv:2311.02240 (MUFAC), changed it for people instead of
classes; public code: ndb796/MachineUnlearning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from bench import Method, hookimpl
from bench.budget import as_fits
from bench.losses import cross_entropy, step
from bench.method import Count, CountFromZero, NotNegative, Paper, Positive, Search
from bench.splits import MethodData
from bench.trial import Trial

from .advanced_neggrad import MUFAC
from .training import constant, train_on
from .unsir_classes import CLASS_WISE, as_classes, learn_in, of_each_class

IMPAIRING = 0.03  # share of a retraining that an epoch of it takes
PUBLISHED = {"impair_epochs": 2, "learning_rate": 1e-3, "batch_size": 64, "noise_steps": 5, "noise_rate": 0.01}


def nearness(logits: Tensor, others: Tensor) -> Tensor:
    """Minus the mean squared difference of logits, per model."""
    return -(logits - others).square().mean((-2, -1))


def impairment(model: nn.Module, noise: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of noise with the images' labels, and of the images with their own, per model."""
    return cross_entropy(model(noise), labels) + cross_entropy(model(images), labels)


@dataclass(frozen=True)
class Unsir(Method):
    """For each pair of a retain and a forget batch: noise is moved away from forget's logits, then learnt with retain's labels.

    The noise starts as standard normal numbers, is moved by a few steps of Adam that raise the mean squared difference of its
    logits from those of the forget batch, and is cut to [0, 1]. One step of plain SGD follows on cross-entropy of the noise,
    which has the retain batch's labels, and of the retain batch. After that, epochs on retain repair.

    As published: everything in evaluation mode, so BatchNorm statistics stay; pairs in which either batch is not full are
    skipped. A forget set smaller than a batch would never be seen: batches of impairing are no larger than it. UNSIR-1 of
    the MUFAC paper is `repair_epochs=0`.

    `class_wise` is the original, for a forget set of whole classes: noise of each of them is moved by Adam to where the model in
    evaluation mode is far from taking it for that class, and kept short; then Adam learns it as that class, in train mode, beside
    images of every other class, which repair at half the rate. Other forget sets are refused.

    Source: Choi and Na 2023, arXiv:2311.02240; Tarun et al. 2023, arXiv:2111.08947.
    """

    impair_epochs: Count = 2  # public code
    repair_epochs: Annotated[NotNegative, Search(0.25, 2.0)] = 1.0  # public code
    learning_rate: Annotated[Positive, Search(1e-4, 1e-1, log=True)] = 1e-3  # public code
    batch_size: Count = 64  # public code
    noise_steps: CountFromZero = 5  # public code
    noise_rate: Annotated[Positive, Search(1e-3, 1.0, log=True)] = 0.01  # public code
    class_wise: bool = False  # see above
    stackable: ClassVar[bool] = True
    cost: ClassVar[str] = "about seven epochs over forget for each of impairing, and epochs over retain"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {**PUBLISHED, "repair_epochs": 1.0},
        "unsir-1": {**PUBLISHED, "repair_epochs": 0.0},
        "class-wise": CLASS_WISE,
    }
    paper: ClassVar[Paper] = MUFAC

    def within(self, share: float) -> Self:
        """As many epochs of either kind as go into the budget where the defaults go into the usual one.

        Where that is not one that impairs, one does all the same, and the repair gets what is left.

        Raises:
            ValueError: nothing is.
        """
        impair = int(as_fits(self.impair_epochs, share))
        repair = as_fits(self.repair_epochs, share, 0.0 if impair else IMPAIRING)
        return replace(self, impair_epochs=max(1, impair), repair_epochs=repair)

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Impair, repair."""
        model.eval()
        if self.class_wise:
            noise = as_classes(model, data, trial, self.batch_size, self.noise_steps, self.noise_rate)
            kept, rate = of_each_class(data.retain), self.learning_rate
            phases = (kept.joined(noise), self.impair_epochs, rate), (kept, self.repair_epochs, rate / 2)
            return learn_in(phases, model, self.batch_size)
        optimizer, schedule = SGD(model.parameters(), self.learning_rate), constant(self.learning_rate)
        for _ in range(self.impair_epochs):
            self.impair(model, data, optimizer, trial)
        train_on(model, data.retain, epochs=self.repair_epochs, batch_size=self.batch_size, optimizer=optimizer, rate=schedule)
        return model.train()

    def impair(self, model: nn.Module, data: MethodData, optimizer: Optimizer, trial: Trial) -> None:
        """One epoch, as long as the shorter of the splits."""
        full = min(self.batch_size, len(data.forget), len(data.retain))
        pairs = zip(data.retain.batches(full), data.forget.batches(full), strict=False)
        for (images, labels), (forget_images, _) in pairs:
            if labels.shape[-1] == forget_images.shape[len(trial.lead)] == full:
                noise = self.noise(model, forget_images, trial)
                step(optimizer, impairment(model, noise, images, labels))

    def noise(self, model: nn.Module, images: Tensor, trial: Trial) -> Tensor:
        """Noise in the shape of images, away from their logits."""
        noise = trial.normal_like(images if trial.stacked else images[None]).view_as(images).requires_grad_()
        optimizer, logits = Adam([noise], self.noise_rate), model(images).detach()
        for _ in range(self.noise_steps):
            (noise.grad,) = torch.autograd.grad(nearness(model(noise), logits).sum(), noise)
            optimizer.step()
        return noise.detach().clamp(0, 1)


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register UNSIR."""
    register(Unsir)
