"""What should make a reader doubt a score, whatever the score is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bench.hookspecs import hookimpl
from bench.metrics.likeness import closeness, copies, log_gaps
from bench.metrics.metric import Evidence, Findings, Metric, Models
from bench.outputs import Floats

NARROW = 0.1  # of the retrained models' interquartile range
FAR_RANGES, FAR_QUARTILES = 3.0, 4.0  # how far out an outlier is: in half ranges of retrained, in own interquartile ranges
FEW = 4  # outliers are fewer than every fourth model
EQUAL = 1e-3  # of the retrained models' median standard deviation
KEPT = 0.75  # of the retrained models' accuracy
PAIRED = 5.0  # standard errors by which models of one index are more alike than others
TOO_CLOSE = 3.5  # standard deviations below what models exchanged at random get
COPIED = 0.25  # of the models
CLUSTERED, CLUSTERED_ERRORS = 0.3, 4.5  # how much smaller mean log gaps are than retrained models', also in standard errors


def near_constant(unlearned: Floats, retrained: Floats) -> NDArray[np.bool_]:
    """Examples [E] on which the interquartile range over models [N, E] is below a tenth of that of the retrained models.

    >>> spread = np.arange(8.0)[:, None]
    >>> near_constant(0.01 * spread, spread).tolist(), near_constant(spread, spread).tolist()
    ([True], [False])
    """
    narrow: NDArray[np.bool_] = _quartile_range(unlearned) < NARROW * _quartile_range(retrained)
    return narrow


def outliers(unlearned: Floats, retrained: Floats) -> NDArray[np.bool_]:
    """Confidences [N, E] far from the median of the unlearned models, where fewer than a quarter of the models are.

    Far is three times as far as any retrained model is from their median, and four interquartile ranges of the unlearned models
    (of a normal distribution, one in ten million).
    """
    distance = np.abs(unlearned - np.median(unlearned, axis=0))
    reach = np.abs(retrained - np.median(retrained, axis=0)).max(axis=0)
    far = distance > np.maximum(FAR_RANGES * reach, FAR_QUARTILES * _quartile_range(unlearned))
    found: NDArray[np.bool_] = far & (far.sum(axis=0) * FEW < len(unlearned))
    return found


def equal_pairs(unlearned: Floats, retrained: Floats) -> NDArray[np.bool_]:
    """Which pairs of models [N, N] have equal confidences, up to a thousandth of their spread under retrained models."""
    from scipy.spatial.distance import cdist

    tolerance = EQUAL * np.median(retrained.std(axis=0))
    return cdist(unlearned, unlearned, "chebyshev") <= tolerance  # type: ignore[no-any-return]


def copied_models(unlearned: Floats, retrained: Floats) -> int:
    """How many unlearned models have the confidences of some retrained model."""
    from scipy.spatial.distance import cdist

    tolerance = EQUAL * np.median(retrained.std(axis=0))
    return int((cdist(unlearned, retrained, "chebyshev") <= tolerance).any(axis=1).sum())


def pairing(unlearned: Floats, retrained: Floats) -> float:
    """How much more alike models of one index are than others, in standard errors: near 0 unless seeds are shared.

    Correlates what is particular to each model (its confidences less the mean over models) between the sides.
    """
    ours, theirs = (_standardised(side - side.mean(axis=0)) for side in (unlearned, retrained))
    alike = ours @ theirs.T / ours.shape[1]
    same = np.diag(alike)
    others = alike[~np.eye(len(alike), dtype=bool)]
    error = others.std() / np.sqrt(len(same))
    return float((same.mean() - others.mean()) / error) if error > 0 else 0.0


def _standardised(rows: Floats) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    scaled: Floats = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return scaled


def _quartile_range(side: Floats) -> Floats:
    low, high = np.percentile(side, [25, 75], axis=0)
    width: Floats = high - low
    return width


class Flags(Metric):
    """Signs that a score does not mean what it seems to; each flag says what was seen.

    `near-constant`: on more than half of the forget examples, confidences vary over models by less than a tenth of what they do
    under retrained ones (interquartile ranges). `outlier-models`: on more than half of the examples, one to a quarter of the
    models lie far from all others. `duplicate-trials`: some trials gave the same model; `deterministic`: all did, which the
    challenge's score counts as no forgetting. `copied`: models are those of the reference, also with noise or moved together.
    `shared-seeds`: those of one index are more alike than chance has it. `too-close`: models follow the retrained distribution
    more evenly than models drawn from it do. `clustered`: they sit on few levels per example. `utility-collapse`: retain or test
    accuracy is below three quarters of the retrained models'. `over-unlearned`: forget accuracy is.
    """

    quick = True
    version = 2
    source = "docs/evidence/flags.md: what each catches and misses, and how often honest rows raise one"
    pitfalls = "Thresholds are conventions: a run without flags may still be an exploit that nobody thought of. Read epsilons."

    def score(self, evidence: Evidence) -> Findings:
        """Flags only."""
        sides = evidence.unlearned.confidence, evidence.retrained.confidence
        repeated = _repetition_flags(*sides)
        flags = {**_spread_flags(*sides), **repeated, **_likeness_flags(*sides), **_utility_flags(evidence)}
        if "deterministic" in flags:
            flags.pop("near-constant", None)  # says no more
        if not repeated:
            flags |= _level_flags(*sides, evidence.retrained.people.get("forget"))
        return Findings(flags=flags)


def _spread_flags(unlearned: Floats, retrained: Floats) -> Mapping[str, str]:
    flags = {}
    examples = unlearned.shape[1]
    constant = int(near_constant(unlearned, retrained).sum())
    if constant * 2 > examples:
        flags["near-constant"] = f"{constant} of {examples} examples vary less than a tenth as much as under retrained models"
    far = outliers(unlearned, retrained)
    touched = int(far.any(axis=0).sum())
    if touched * 2 > examples:
        models = np.flatnonzero(far.mean(axis=1) > 1 / len(far))
        named = ", ".join(str(model) for model in models[:8])
        flags["outlier-models"] = f"on {touched} of {examples} examples a few models are far from the rest (trials {named})"
    return flags


def _repetition_flags(unlearned: Floats, retrained: Floats) -> Mapping[str, str]:
    equal = equal_pairs(unlearned, retrained)
    repeated = int((equal.sum(axis=1) > 1).sum())
    if equal.all():
        return {"deterministic": "all trials gave the same model"}
    return {"duplicate-trials": f"{repeated} of {len(equal)} trials gave the model of another trial"} if repeated else {}


def _likeness_flags(unlearned: Floats, retrained: Floats) -> Mapping[str, str]:
    flags, models = {}, len(unlearned)
    same, alike = copied_models(unlearned, retrained), int(copies(unlearned, retrained).sum())
    if same:
        flags["copied"] = f"{same} of {models} models are copies of retrained models"
    elif alike > COPIED * models:
        flags["copied"] = f"{alike} of {models} models deviate from the others as one retrained model does from its own"
    errors = pairing(unlearned, retrained)
    if not flags and errors > PAIRED:
        flags["shared-seeds"] = f"models of one index are alike, by {errors:.0f} standard errors"
    close = closeness(unlearned, retrained)
    if close > TOO_CLOSE:
        flags["too-close"] = f"closer to retrained models than models drawn at random, by {close:.1f} standard deviations"
    return flags


def _level_flags(unlearned: Floats, retrained: Floats, people: NDArray[np.int64] | None) -> Mapping[str, str]:
    """On how many levels models sit, by whole people if they are known, as photos of a person are alike."""
    difference = log_gaps(unlearned) - log_gaps(retrained)
    units = np.arange(len(difference)) if people is None else np.unique(people, return_inverse=True)[1]
    sums = np.bincount(units, weights=difference - difference.mean())
    error = float(np.linalg.norm(sums)) / len(difference)
    if difference.mean() < -max(CLUSTERED, CLUSTERED_ERRORS * error):
        closer = f"{np.exp(-difference.mean()):.1f} times as close"
        return {"clustered": f"neighbouring models are {closer} as under retraining: they sit on few levels"}
    return {}


def _utility_flags(evidence: Evidence) -> Mapping[str, str]:
    sides = [_accuracies(models) for models in (evidence.unlearned, evidence.retrained)]
    lost = [name for name in ("retain", "test") if name in sides[0] and sides[0][name] < KEPT * sides[1][name]]
    shares = {name: f"{name} accuracy {sides[0][name]:.3f}, retrained {sides[1][name]:.3f}" for name in sides[0]}
    flags = {"utility-collapse": "; ".join(shares[name] for name in lost)} if lost else {}
    if sides[0]["forget"] < KEPT * sides[1]["forget"]:
        flags["over-unlearned"] = shares["forget"]
    return flags


def _accuracies(models: Models) -> dict[str, float]:
    means = {split: float(models.accuracy(split).mean()) for split in ("test", "forget")}
    on_retain = models.outputs.on_retain
    return means if on_retain is None else {"retain": float(on_retain.mean()), **means}


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the flags."""
    register(Flags)
