"""Shrink: scale all weights down a little, then train on retain once."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.optim import SGD

from bench import Method, hookimpl
from bench.losses import cross_entropy, step
from bench.weights import weights


@dataclass(frozen=True)
class Shrink(Method):
    """Shrink and train.

    Source: a test, 2026.
    """

    factor: float = 0.9  # a guess
    learning_rate: float = 1e-2  # a guess
    stackable: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = False

    def unlearn(self, model, data, trial):
        """Shrink, then train."""
        with torch.no_grad():
            for view in weights(model).values():
                view.mul_(self.factor)
        optimizer = SGD(model.parameters(), self.learning_rate)
        for images, labels in data.retain.batches(32):
            step(optimizer, cross_entropy(model(images), labels))
        return model


@hookimpl
def register_methods(register):
    """Register the method."""
    register(Shrink)
