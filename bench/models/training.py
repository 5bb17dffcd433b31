"""Training by a task's recipe: the original model, and the retrained ones that unlearning imitates."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from bench.losses import cross_entropy, set_learning_rate, step
from bench.models.recipe import Recipe
from bench.splits import Split


def class_weights(recipe: Recipe, labels: Tensor, classes: int) -> Tensor | None:
    """The recipe's class weights [K]; inverse class frequencies, 0 for a class without images; None if it does not weight."""
    if recipe.class_weights:
        return torch.tensor(recipe.class_weights, device=labels.device)
    if not recipe.weighted_classes:
        return None
    counts = torch.bincount(labels, minlength=classes)
    return torch.where(counts > 0, 1.0 / counts.clamp(min=1), 0.0)


def learning_rate(recipe: Recipe, done: float) -> float:
    """The rate after a share `done` in [0, 1] of all steps: linear warm-up, then half a cosine down to zero.

    >>> recipe = Recipe(12, 64, learning_rate=4.0, weight_decay=0.0, warmup=0.1)
    >>> [round(learning_rate(recipe, done), 3) for done in (0.05, 0.1, 0.55, 1.0)]
    [2.0, 4.0, 2.0, 0.0]
    """
    if done < recipe.warmup:
        return recipe.learning_rate * done / recipe.warmup
    return recipe.learning_rate * (1 + math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup))) / 2


def warm_up(model: nn.Module, split: Split) -> None:
    """One forward and backward pass of a model that nobody needs: first calls are slow, and would be charged to what is timed."""
    images, labels = next(iter(split.batches(64, shuffle=False)))
    cross_entropy(model(images), labels).sum().backward()


def fit(
    model: nn.Module,
    split: Split,
    recipe: Recipe,
    weights: Tensor | None = None,
    *,
    epochs: int | None = None,
    after_epoch: Callable[[int], None] = lambda epoch: None,
) -> nn.Module:
    """Train a plain network or a stack in place for the recipe's epochs, or for its first `epochs`; returns it in train mode."""
    optimizer = _optimizer(model, recipe)
    steps = recipe.epochs * split.steps(recipe.batch_size)
    taken = 0
    model.train()
    for epoch in range(recipe.epochs if epochs is None else epochs):
        for images, labels in split.batches(recipe.batch_size):
            taken += 1
            done = taken / steps if recipe.cosine == "steps" else epoch / recipe.epochs
            set_learning_rate(optimizer, learning_rate(recipe, done))
            step(optimizer, cross_entropy(model(images), labels, weights))
        after_epoch(epoch + 1)
    return model


def _optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    kind = AdamW if recipe.optimizer == "adamw" else Adam  # Adam's weight decay is an L2 penalty
    return kind(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
