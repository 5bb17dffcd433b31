"""Accuracies, and how far wrong predictions are, beside retrained models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.metric import Evidence, Findings, Metric, Models, PerModel, Quantity
from bench.metrics.quantity import Better
from bench.outputs import Floats, NoAnswersError


def within_one_group(predictions: ArrayLike, labels: ArrayLike) -> Floats:
    """Share of predictions [..., n] at most one age group off the labels [n], in [0, 1].

    >>> within_one_group([[0, 2, 9]], [1, 2, 5]).round(3).tolist()
    [0.667]
    """
    close: Floats = (np.abs(np.asarray(predictions) - np.asarray(labels)) <= 1).mean(axis=-1)
    return close


def mean_absolute_error(predictions: ArrayLike, labels: ArrayLike) -> Floats:
    """Mean distance in age groups of predictions [..., n] from the labels [n].

    >>> mean_absolute_error([[0, 2, 9]], [1, 2, 4]).tolist()
    [2.0]
    """
    error: Floats = np.abs(np.asarray(predictions) - np.asarray(labels)).mean(axis=-1)
    return error


def group_accuracies(predictions: ArrayLike, labels: ArrayLike) -> dict[int, Floats]:
    """Accuracy [...] of predictions [..., n] in each group that the labels [n] have.

    >>> {group: share.tolist() for group, share in group_accuracies([[0, 1, 1]], [0, 0, 1]).items()}
    {0: [0.5], 1: [1.0]}
    """
    truth = np.asarray(labels)
    right = np.asarray(predictions) == truth
    return {int(group): right[..., truth == group].mean(axis=-1) for group in np.unique(truth)}


def final_score(forgetting: float, retain_ratio: float, test_ratio: float) -> float:
    """The challenge's final score: forgetting * (retain accuracy / retrained's) * (test accuracy / retrained's).

    The ratios are not capped at 1, as in the challenge (Triantafillou et al. 2024, arXiv:2406.09073).
    """
    return forgetting * retain_ratio * test_ratio


def _accuracy(what: str, better: Better, meaning: str, *, column: bool = False) -> Quantity:
    return Quantity(
        f"{what}_accuracy",
        "share",
        better,
        0,
        1,
        f"accuracy {meaning}",
        family="utility",
        table="results" if column else "",
        title=what if column else "",
    )


class Utility(PerModel):
    """What the models are still good for: accuracy on each split, and how far wrong the wrong predictions are.

    Means over the N models. Distances and the accuracies of single age groups are those of the test split.
    """

    quick = True
    source = "Triantafillou et al. 2024, arXiv:2406.09073, for retain and test accuracy"
    pitfalls = (
        "Forget accuracy has a target, not a direction: what retrained models get. Methods may train on the validation split."
        " Groups with few test photos have noisy accuracies."
    )
    quantities = (
        _accuracy("retain", "higher", "on the training photos that are kept", column=True),
        _accuracy("test", "higher", "on photos held out from the method", column=True),
        _accuracy("validation", "higher", "on photos held out from training, seen by the method"),
        _accuracy(
            "forget", "as retrained", "on the photos to be forgotten; the target is what retrained models get", column=True
        ),
        _accuracy("forget_people", "as retrained", "on held-out photos of the people to be forgotten"),
        _accuracy("group", "higher", "on the test photos of one age group"),
        Quantity(
            "within_one_group", "share", "higher", 0, 1, "of test photos predicted at most one age group off", family="utility"
        ),
        Quantity(
            "mean_absolute_error",
            "groups",
            "lower",
            0,
            np.inf,
            "mean distance of predictions on test, in age groups",
            family="utility",
        ),
    )

    def values(self, models: Models, retrained: Models) -> Mapping[str, Floats]:
        """Every quantity, per model."""
        splits = ("test", "validation", "forget", "forget_people")
        predictions, labels = models.predictions("test"), models.labels["test"]
        groups = group_accuracies(predictions, labels)
        return {
            **({} if models.outputs.on_retain is None else {"retain_accuracy": models.outputs.on_retain}),
            **{f"{split}_accuracy": models.accuracy(split) for split in splits if models.labels[split].size},
            "within_one_group": within_one_group(predictions, labels),
            "mean_absolute_error": mean_absolute_error(predictions, labels),
            **{f"group_accuracy.{group}": share for group, share in groups.items()},
        }

    def score(self, evidence: Evidence) -> Findings:
        """The means, and which are missing."""
        found, known = super().score(evidence), evidence.unlearned.outputs.on_retain is not None
        return found if known else replace(found, notes=(f"retain accuracy {NoAnswersError('retain')}",))


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register utility."""
    register(Utility)
