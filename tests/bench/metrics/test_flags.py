"""Each flag on a case that raises it and on its neighbour that does not; the known exploit; retrained models raise none."""

import math

import numpy as np
import pytest

from bench.metrics.cross_fitted import CrossFitted
from bench.metrics.flags import Flags, copied_models, equal_pairs, near_constant, outliers, pairing
from bench.metrics.forgetting import forgetting_score
from bench.metrics.metric import Evidence, Models
from bench.metrics.resampling import Sample
from bench.outputs import Outputs
from bench.scoring.calibration import CASES, UNTIMED, Population
from bench.scoring.constructions import Change, Fresh, deterministic, shifted, widened


def flags_of(change: Change, models: int = 16, examples: int = 30, seed: int = 0) -> set[str]:
    population = Population.draw(examples, seed)
    retrained = population.retrained(models)
    return set(Flags().score(Evidence(population.case(change, retrained), retrained, UNTIMED)).flags)


@pytest.mark.parametrize("models", [8, 16, 64])
@pytest.mark.parametrize("seed", range(12))
def test_retrained_models_raise_none(models: int, seed: int) -> None:
    assert flags_of(shifted(0.0), models, seed=seed) == set()


@pytest.mark.parametrize("seed", range(6))
def test_correlated_retrained_models_raise_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    population = Population.draw(40, seed)
    mixing = rng.normal(size=(3, 40))  # models differ along three directions, and a little on each example
    sides = [rng.normal(size=(16, 3)) @ mixing + 0.3 * rng.normal(size=(16, 40)) for _ in range(2)]
    retrained = population.case(lambda fresh, reference: sides[1], population.retrained(16))
    unlearned = population.case(lambda fresh, reference: sides[0], retrained)
    assert Flags().score(Evidence(unlearned, retrained, UNTIMED)).flags == {}


@pytest.mark.parametrize("models", [16, 64, 512])
@pytest.mark.parametrize("many", [False, True])
def test_gaming_example(models: int, many: bool) -> None:
    """Constants at the retrained lower quartile and a few models at -40: everything but the score sees it.

    With one model at -40, the score is 1. With k, a threshold below the constants has 1 - FPR = k/N, FNR = 1/N: epsilon is log k.
    """
    far = models // 8 if many else 1

    def gaming(fresh: Fresh, reference: np.ndarray) -> np.ndarray:
        constant = np.tile(np.quantile(reference, 0.25, axis=0), (len(fresh.forget), 1))
        constant[:far] = -40.0
        return constant

    population = Population.draw(12, models)
    retrained = population.retrained(models)
    unlearned = population.case(gaming, retrained)
    expected = 0.5 ** math.floor(2 * math.log(far))
    assert forgetting_score(unlearned.confidence, retrained.confidence) == expected
    flags = Flags().score(Evidence(unlearned, retrained, UNTIMED)).flags
    assert {"near-constant", "outlier-models"} <= set(flags)
    assert "deterministic" not in flags
    sides = [Sample.draw(side.confidence) for side in (unlearned, population.retrained(models), retrained)]
    epsilon, equal = (CrossFitted().compare(side, sides[2])["cross_fitted_epsilon"] for side in sides[:2])
    assert equal < 0.5
    assert epsilon > 1.0


def test_near_constant() -> None:
    assert flags_of(widened(0.05), 64) == {"near-constant"}
    assert flags_of(widened(0.2), 64) == set()
    assert flags_of(widened(0.5), 64) == set()


@pytest.mark.parametrize(("constant", "expected"), [(16, {"near-constant"}), (14, set())])
def test_near_constant_is_about_more_than_half_of_the_examples(constant: int, expected: set[str]) -> None:
    def on_some(fresh: Fresh, reference: np.ndarray) -> np.ndarray:
        return np.where(np.arange(30) < constant, widened(0.01)(fresh, reference), fresh.forget)

    assert flags_of(on_some, 64) == expected


def test_near_constant_is_about_interquartile_ranges() -> None:
    rng = np.random.default_rng(0)
    retrained = rng.normal(size=(40, 3))
    unlearned = rng.normal(size=(40, 3)) * [0.02, 0.05, 0.3]
    unlearned[0] = 1000.0  # one model hides nothing
    ranges = [[np.subtract(*np.quantile(side[:, e], [0.75, 0.25])) for e in range(3)] for side in (unlearned, retrained)]
    assert near_constant(unlearned, retrained).tolist() == [ours < 0.1 * theirs for ours, theirs in zip(*ranges, strict=True)]
    assert near_constant(unlearned, retrained).tolist() == [True, True, False]


def with_far_models(count: int, distance: float, examples: int = 30) -> Change:
    def change(fresh: Fresh, reference: np.ndarray) -> np.ndarray:
        far = fresh.forget.copy()
        far[:count, :examples] -= distance
        return far

    return change


@pytest.mark.parametrize("count", [1, 2, 3])
def test_outlier_models(count: int) -> None:
    assert flags_of(with_far_models(count, 40.0)) - {"clustered"} == {"outlier-models"}


def test_no_outlier_models() -> None:
    assert flags_of(with_far_models(1, 3.0)) == set()  # no further than retrained models go
    assert "outlier-models" not in flags_of(with_far_models(4, 40.0))  # a quarter is a mixture, no outlier
    assert flags_of(with_far_models(1, 40.0, examples=14)) == set()  # on fewer than half of the examples


def test_outliers_are_named() -> None:
    population = Population.draw(20, 0)
    retrained = population.retrained(16)

    def change(fresh: Fresh, reference: np.ndarray) -> np.ndarray:
        far = fresh.forget.copy()
        far[[3, 11]] -= 40.0
        return far

    unlearned = population.case(change, retrained)
    assert "trials 3, 11" in Flags().score(Evidence(unlearned, retrained, UNTIMED)).flags["outlier-models"]


@pytest.mark.independent
def test_outliers_are_a_loop() -> None:
    rng = np.random.default_rng(1)
    unlearned, retrained = rng.standard_t(1.5, size=(30, 25)), rng.normal(size=(30, 25))
    found = outliers(unlearned, retrained)
    for e in range(25):
        middle, quartiles = np.median(unlearned[:, e]), np.quantile(unlearned[:, e], [0.25, 0.75])
        reach = max(abs(value - np.median(retrained[:, e])) for value in retrained[:, e])
        limit = max(3 * reach, 4 * (quartiles[1] - quartiles[0]))
        far = [abs(value - middle) > limit for value in unlearned[:, e]]
        assert found[:, e].tolist() == (far if sum(far) < 30 / 4 else [False] * 30)
    assert found.any()


def copying(source: int, target: int, noise: float = 0.0) -> Change:
    def change(fresh: Fresh, reference: np.ndarray) -> np.ndarray:
        copied = fresh.forget.copy()
        copied[target] = copied[source] + noise
        return copied

    return change


def test_duplicate_trials() -> None:
    assert flags_of(copying(2, 9)) == {"duplicate-trials"}
    assert flags_of(copying(2, 9, noise=1e-5)) == {"duplicate-trials"}
    assert flags_of(copying(2, 9, noise=0.01)) == set()


def test_deterministic() -> None:
    assert flags_of(deterministic) == {"deterministic"}
    assert flags_of(lambda fresh, reference: deterministic(fresh, reference) + 1e-6 * fresh.forget) == {"deterministic"}

    def all_but_one(fresh: Fresh, reference: np.ndarray) -> np.ndarray:
        same = deterministic(fresh, reference)
        same[-1] = fresh.forget[1]
        return same

    found = flags_of(all_but_one)
    assert "deterministic" not in found
    assert {"duplicate-trials", "near-constant"} <= found


def test_equal_pairs_are_a_loop() -> None:
    rng = np.random.default_rng(2)
    retrained = rng.normal(size=(6, 5))
    unlearned = np.repeat(rng.normal(size=(3, 5)), 2, axis=0) + rng.choice([0, 1e-4, 0.1], size=(6, 1))
    tolerance = 0.001 * np.median([retrained[:, e].std() for e in range(5)])
    for m, n in np.ndindex(6, 6):
        assert equal_pairs(unlearned, retrained)[m, n] == (abs(unlearned[m] - unlearned[n]).max() <= tolerance)


def test_copies() -> None:
    def one_copied(fresh: Fresh, reference: np.ndarray) -> np.ndarray:
        return np.r_[reference[5:6], fresh.forget[1:]]

    assert flags_of(one_copied) == {"copied"}
    assert flags_of(lambda fresh, reference: reference) == {"copied", "too-close"}
    assert flags_of(lambda fresh, reference: np.r_[reference[5:6] + 0.01, fresh.forget[1:]]) == set()


BOUGHT = {
    "two levels, one above": "clustered",
    "two levels, one below": "clustered",
    "two levels": "clustered",
    "copied, noise .01": "copied",
    "copied, noise .1": "copied",
}


@pytest.mark.parametrize("models", [8, 16, 64, pytest.param(512, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("case", "flag"), BOUGHT.items(), ids=BOUGHT)
def test_confidences_that_were_chosen(case: str, flag: str, models: int) -> None:
    """In every one of three worlds."""
    for seed in range(3):
        assert flag in flags_of(CASES[case], models, examples=120, seed=seed)


@pytest.mark.parametrize("models", [8, 16, 64])
def test_levels_are_told_beyond_chance_over_people(models: int) -> None:
    """On three of twenty people's photos only, and those ten photos each: not yet."""
    few = flags_of(
        lambda fresh, reference: np.c_[
            np.tile(fresh.forget[:2, :10], (models // 2, 1)) + 1e-3 * fresh.forget[:, :10], fresh.forget[:, 10:]
        ],
        models,
        200,
    )
    assert "clustered" not in few


def test_copied_models_are_counted() -> None:
    retrained = np.random.default_rng(3).normal(size=(8, 20))
    unlearned = np.random.default_rng(4).normal(size=(8, 20))
    assert copied_models(unlearned, retrained) == 0
    unlearned[[0, 3, 4]] = retrained[[7, 7, 1]]
    assert copied_models(unlearned, retrained) == 3


@pytest.mark.parametrize("models", [16, 64])
def test_shared_seeds_by_paired_correlation(models: int) -> None:
    """Trials that start from the weights or the seeds of the retrained model of the same index resemble it."""
    assert flags_of(lambda fresh, reference: 0.6 * reference + 0.8 * fresh.forget, models) == {"shared-seeds"}
    moved = flags_of(lambda fresh, reference: 0.6 * np.roll(reference, 1, axis=0) + 0.8 * fresh.forget, models)
    assert moved == set()


def test_pairing_is_in_standard_errors() -> None:
    """From numpy's correlations; near a standard normal for sides that share nothing."""
    rng = np.random.default_rng(5)
    values = []
    for _ in range(300):
        sides = rng.normal(size=(2, 16, 30))
        residuals = [side - side.mean(axis=0) for side in sides]
        alike = np.array([[np.corrcoef(a, b)[0, 1] for b in residuals[1]] for a in residuals[0]]) if len(values) < 10 else None
        values.append(pairing(*sides))
        if alike is not None:
            same, others = np.diag(alike), alike[~np.eye(16, dtype=bool)]
            assert values[-1] == pytest.approx((same.mean() - others.mean()) / (others.std() / math.sqrt(16)))
    assert abs(np.mean(values)) < 4 / math.sqrt(300)
    assert 0.8 < np.std(values) < 1.25
    assert pairing(np.zeros((8, 5)), sides[0, :8, :5]) == 0.0


def accurate(models: Models, split: str, wrong: float, retain: float = 1.0) -> Models:
    """The models with so large a share of a split's examples answered wrong, and the retain accuracy scaled."""
    logits = dict(models.outputs.logits)
    changed = logits[split].copy()
    labels = models.labels[split]
    rows = np.arange(round(wrong * len(labels)))
    changed[:, rows, labels[rows]] = changed[:, rows].min(axis=-1) - 1
    rest = np.arange(len(rows), len(labels))
    changed[:, rest, labels[rest]] = changed[:, rest].max(axis=-1) + 1
    return Models(Outputs({**logits, split: changed}, models.outputs.retain_accuracy * retain), models.labels)


@pytest.mark.parametrize(
    ("split", "wrong", "expected"),
    [
        ("test", 0.3, {"utility-collapse"}),
        ("test", 0.2, set()),
        ("forget", 0.3, {"over-unlearned"}),
        ("forget", 0.2, set()),
        ("validation", 0.9, set()),
    ],
)
def test_accuracy_below_three_quarters_of_retrained(split: str, wrong: float, expected: set[str]) -> None:
    population = Population.draw(200, 1)
    retrained, fresh = population.retrained(8), population.retrained(8)
    unlearned = accurate(fresh, split, wrong)
    found = set(Flags().score(Evidence(unlearned, accurate(retrained, split, 0.0), UNTIMED)).flags)
    assert found & {"utility-collapse", "over-unlearned"} == expected


@pytest.mark.parametrize(("share", "expected"), [(0.7, {"utility-collapse"}), (0.8, set())])
def test_retain_accuracy_below_three_quarters_of_retrained(share: float, expected: set[str]) -> None:
    population = Population.draw(50, 2)
    retrained = population.retrained(8)
    same = Models(Outputs(population.retrained(8).outputs.logits, retrained.outputs.retain_accuracy * share), retrained.labels)
    assert set(Flags().score(Evidence(same, retrained, UNTIMED)).flags) == expected


def test_flags_say_what_was_seen() -> None:
    population = Population.draw(30, 0)
    retrained = population.retrained(16)
    found = Flags().score(Evidence(population.case(copying(2, 9), retrained), retrained, UNTIMED)).flags
    assert found["duplicate-trials"] == "2 of 16 trials gave the model of another trial"
