"""The networks that come with bench: what each costs, and how it is trained if a task does not say. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from bench.models.recipe import Recipe

_OPTIMISER_COPIES = 4  # weights, gradients and two moments
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Cost:
    """What a network takes in training."""

    parameters: int
    activations: float  # numbers that a training step keeps, per pixel of the picture

    def training_bytes(self, size: int, batch_size: int) -> int:
        """Memory that one model takes in training on pictures of `size` pixels a side."""
        return int(_FLOAT * (_OPTIMISER_COPIES * self.parameters + batch_size * self.activations * size**2))


@dataclass(frozen=True)
class Network(Cost):
    """What is known of a network without building it, for 10 classes."""

    cpu_stack: int  # models that one CPU thread trains fastest at once
    recipe: Recipe


SMALL = Recipe(epochs=12, batch_size=64, learning_rate=4e-3, weight_decay=1e-4, warmup=0.1)
LARGE = Recipe(epochs=12, batch_size=64, learning_rate=1e-3, weight_decay=1e-4, warmup=0.1)
# unlearning_evaluation, train_lib.py; the published code steps the cosine once an epoch.
CHALLENGE = Recipe(
    epochs=30,
    batch_size=64,
    learning_rate=1e-4,
    weight_decay=5e-3,
    warmup=0.0,
    optimizer="adam",
    cosine="epochs",
)

NETWORKS: dict[str, Network] = {
    # One thread, 32x32: 9,200 images/s in stacks of 8, 6,800 alone; of ResNet-18 190 in stacks of 8, 380 alone.
    "resnet8-v1": Network(79_000, 22, 8, SMALL),
    "resnet18-v1": Network(11_200_000, 113, 1, LARGE),
    "resnet18-challenge-v1": Network(11_200_000, 113, 1, CHALLENGE),
}


def shipped_network(name: str) -> str | None:
    """The network of that name, with or without its version; None if none that comes with bench has it.

    >>> shipped_network("resnet18")
    'resnet18-v1'
    """
    return next((known for known in reversed(NETWORKS) if name in (known, known.rpartition("-v")[0])), None)


def recipe_for(network: str) -> Recipe:
    """How a network is trained if the task does not say."""
    return NETWORKS[network].recipe
