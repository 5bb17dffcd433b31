"""Losses with one value per model: logits [..., B, K] -> [...], the mean over the batch, if nothing else is said.

A plain network has no leading dimension, a stack of M models has M.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import nll_loss
from torch.optim import Optimizer

_NO_LABEL = -(2**62)  # torch's own, -100, would be passed over without a word


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every example [..., B], with labels [..., B], or [B] for all models."""
    labels = labels.expand(logits.shape[:-1])
    # Not by `gather`, whose way back is a sort on a GPU where results are to repeat.
    log_p, true = logits.log_softmax(-1).reshape(-1, logits.shape[-1]), labels.reshape(-1).long()
    return nll_loss(log_p, true, reduction="none", ignore_index=_NO_LABEL).view(labels.shape)


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy with labels [..., B], or [B] for all models; with class weights [K], the weighted mean, as torch's own."""
    losses = cross_entropies(logits, labels)
    if class_weights is None:
        return losses.mean(-1)
    weights = class_weights[labels.expand(logits.shape[:-1])]
    return (losses * weights).sum(-1) / weights.sum(-1)


def kl_divergence(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), from logits (Hinton et al. 2015, arXiv:1503.02531)."""
    log_p, log_q = (teacher / temperature).log_softmax(-1), (student / temperature).log_softmax(-1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1)


def step(optimizer: Optimizer, loss: Tensor) -> None:
    """One optimiser step on a loss of one value per model; the sum keeps models independent."""
    optimizer.zero_grad()
    loss.sum().backward()
    optimizer.step()


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
