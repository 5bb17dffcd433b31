"""Song and Mittal's membership attacks: thresholds per class on confidence, entropy, modified entropy; and correctness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.confidence import class_confidences
from bench.metrics.membership import halves_of_test
from bench.metrics.metric import Metric, Models, PerModel, Quantity
from bench.outputs import Floats, Integers

FEWEST = 20  # of a class, on either side; smaller classes use the threshold of all classes

Signal = Callable[[Floats, Integers], Floats]


def confidence(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """Log p_y, in the order of p_y: logits [..., n, K], labels [n] -> [..., n]."""
    from scipy.special import log_softmax

    return _of_label(log_softmax(np.asarray(logits, dtype=np.float64), axis=-1), np.asarray(labels))


def negative_entropy(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """Sum over classes of p log p, whatever the label: logits [..., n, K] -> [..., n], in [-log K, 0]."""
    from scipy.special import log_softmax

    logs = log_softmax(np.asarray(logits, dtype=np.float64), axis=-1)
    entropy: Floats = (np.exp(logs) * logs).sum(axis=-1)
    return entropy


def negative_modified_entropy(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """(1 - p_y) log p_y + sum over other classes of p log(1 - p), <= 0: logits [..., n, K], labels [n] -> [..., n].

    Source: Song and Mittal 2021, arXiv:2003.10595, negated: members are high.

    >>> negative_modified_entropy([[0.0, 0.0]], [0]).round(4).tolist()
    [-0.6931]
    """
    from scipy.special import expit, log_expit

    confidences, truth = class_confidences(logits), np.asarray(labels)
    own = _of_label(confidences, truth)
    terms = expit(confidences) * log_expit(-confidences)
    np.put_along_axis(terms, _index(terms, truth), (expit(-own) * log_expit(own))[..., None], -1)
    total: Floats = terms.sum(axis=-1)
    return total


def _of_label(values: Floats, labels: Integers) -> Floats:
    return np.take_along_axis(values, _index(values, labels), axis=-1)[..., 0]


def _index(values: Floats, labels: Integers) -> Integers:
    return np.broadcast_to(labels[:, None], (*values.shape[:-1], 1))


def thresholds(members: ArrayLike, others: ArrayLike) -> Floats:
    """The threshold per model that tells members from others best: "member" if the signal is at least that.

    Args:
        members: signals [M, n], high for members.
        others: signals [M, k].

    Returns:
        float64 [M]: of all signals, the one with the largest mean of true positive and true negative rate; the lowest of several.

    >>> thresholds([[2.0, 3.0]], [[0.0, 1.0]]).tolist()
    [2.0]
    """
    sides = np.asarray(members, dtype=np.float64), np.asarray(others, dtype=np.float64)
    pooled = np.concatenate(sides, axis=1)
    order = np.argsort(pooled, axis=1, kind="stable")
    values = np.take_along_axis(pooled, order, axis=1)
    weight = np.repeat([-1.0 / sides[0].shape[1], 1.0 / sides[1].shape[1]], [sides[0].shape[1], sides[1].shape[1]])
    gain = np.concatenate([np.zeros((len(pooled), 1)), np.cumsum(weight[order], axis=1)[:, :-1]], axis=1)  # of all below
    first = np.concatenate([np.ones((len(pooled), 1), dtype=bool), values[:, 1:] > values[:, :-1]], axis=1)
    best = np.where(first, gain.round(12), -np.inf).argmax(axis=1)
    return np.take_along_axis(values, best[:, None], axis=1)[:, 0]


def thresholds_by_class(members: Floats, labels: Integers, others: Floats, other_labels: Integers, classes: int) -> Floats:
    """Thresholds [M, K], fitted within each class; within all classes together where one has fewer than 20 of either side."""
    found = np.repeat(thresholds(members, others)[:, None], classes, axis=1)
    for group in range(classes):
        ours, theirs = labels == group, other_labels == group
        if min(ours.sum(), theirs.sum()) >= FEWEST:
            found[:, group] = thresholds(members[:, ours], others[:, theirs])
    return found


SIGNALS: Mapping[str, Signal] = {
    "confidence": confidence,
    "entropy": negative_entropy,
    "modified_entropy": negative_modified_entropy,
}


class SongMittal(PerModel):
    """Song and Mittal's four attacks: what share of the forget set does a threshold, fitted on other examples, call a member?

    For each model, one threshold per class (of all classes together where a class has fewer than 20 examples) that tells the
    retain sample from one half of test best, for the probability of the true class, the negative entropy and the negative
    modified entropy; and "predicted right", which needs none. Reported is the share of forget examples called member. The other
    half of test, called member by mistake, is the check of the fit. Never fitted on validation, which methods may train on.
    """

    source = "Song and Mittal 2021, arXiv:2003.10595"
    pitfalls = (
        "Not an accuracy: all forget examples are members before unlearning and none after it, so read the gap to the retrained"
        " models. If the share of held-out test called member is as large, the threshold tells nothing."
    )
    quantities = tuple(
        quantity
        for name in (*SIGNALS, "correctness")
        for quantity in (
            Quantity(
                f"{name}_members",
                "share",
                "as retrained",
                0,
                1,
                f"of forget examples called member by {name.replace('_', ' ')}",
                attack=True,
                family="attack",
            ),
            Quantity(
                f"{name}_false_members",
                "share",
                "as retrained",
                0,
                1,
                "of held-out test examples called member: the check",
                family="attack",
            ),
        )
    )

    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """Every share, per model."""
        fit, check = halves_of_test(retrained)
        found = {}
        for name, signal in SIGNALS.items():
            found[f"{name}_members"], found[f"{name}_false_members"] = _shares(models, signal, fit, check)
        right = {split: models.predictions(split) == models.labels[split] for split in ("forget", "test")}
        return {
            **found,
            "correctness_members": right["forget"].mean(axis=1),
            "correctness_false_members": right["test"][:, check].mean(axis=1),
        }


def _shares(models: Models, signal: Signal, fit: Integers, check: Integers) -> tuple[Floats, Floats]:
    """Shares [M] of the forget set and of the second half of test that are called member."""
    labels = models.labels
    of = {
        name: signal(models.outputs.logits[name].astype(np.float64), labels[name]) for name in ("retain_sample", "test", "forget")
    }
    classes = models.outputs.logits["test"].shape[-1]
    found = thresholds_by_class(of["retain_sample"], labels["retain_sample"], of["test"][:, fit], labels["test"][fit], classes)
    called = partial(_called, found)
    return called(of["forget"], labels["forget"]), called(of["test"][:, check], labels["test"][check])


def _called(found: Floats, signals: Floats, labels: Integers) -> Floats:
    share: Floats = (signals >= found[:, labels]).mean(axis=1)
    return share


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register Song and Mittal's attacks."""
    register(SongMittal)
