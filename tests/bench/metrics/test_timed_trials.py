"""What is timed must be what is scored: the same models, in about the same time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from bench.metrics.metric import Again, Evidence, Models, Timing
from bench.metrics.timed_trials import NEAR, TIMED_DIFFERENTLY, TimedTrials, all_confidences, distance_shares
from bench.outputs import Outputs
from bench.scoring.calibration import Population

POPULATION = Population.draw(12, seed=0)
RETRAINED = POPULATION.retrained(8)
SCORED = POPULATION.retrained(8)
TIMED = (5, 2, 7)


def nudged(outputs: Outputs, by: float, seed: int = 0) -> Outputs:
    """Outputs whose logits differ by so much, in the root mean square."""
    rng = np.random.default_rng(seed)
    logits = {name: (each + by * rng.normal(size=each.shape)).astype(np.float32) for name, each in outputs.logits.items()}
    return replace(outputs, logits=logits)


def flag(outputs: Outputs, scored: Models = SCORED, **about: object) -> str:
    """What is said of trials that came to such outputs when they ran again."""
    took = {"seconds": [1.0] * 3, "scored_seconds": [1.0] * 3, "on_cpu": True, "stackable": True}
    again = Again(TIMED, outputs, **{**took, **about})
    evidence = Evidence(scored, RETRAINED, Timing([1.0] * 3, [(5.0, 5.0)] * 3, 0.2, 5.0), again)
    return TimedTrials().score(evidence).flags.get(TIMED_DIFFERENTLY, "")


def same_models() -> Outputs:
    return SCORED.outputs.select(TIMED)


@pytest.mark.independent
def test_distances_are_those_of_scipy() -> None:
    again, scored = (all_confidences(models) for models in (Models(nudged(same_models(), 0.3), SCORED.labels), SCORED))
    between, own = cdist(scored, scored), cdist(again, scored)
    expected = [own[row, trial] / np.median(np.delete(between[trial], trial)) for row, trial in enumerate(TIMED)]
    assert distance_shares(again, scored, TIMED) == pytest.approx(expected)


def test_runs_whose_trials_did_not_run_twice_say_nothing() -> None:
    found = TimedTrials().score(Evidence(SCORED, RETRAINED, Timing((), (), 0.2, 5.0)))
    assert (found.estimates, found.flags) == ({}, {})


@pytest.mark.parametrize("stackable", [False, True])
def test_equal_models_are_what_was_scored(stackable: bool) -> None:
    assert flag(same_models(), stackable=stackable) == ""


def test_a_method_that_is_not_stacked_must_repeat_itself_bit_for_bit() -> None:
    other = same_models()
    other.logits["forget"][1, 0, 0] = np.nextafter(other.logits["forget"][1, 0, 0], np.float32(9))
    assert "trials 2 gave other models than were scored" in flag(other, stackable=False)
    assert flag(other, stackable=False, on_cpu=False) == ""  # another order of additions, as a GPU may choose


def moved(models: Models, by: float) -> Outputs:
    """Every true class's logit, and with it the confidence, moved up or down by so much."""
    rng = np.random.default_rng(0)
    logits = {name: each.copy() for name, each in models.outputs.logits.items()}
    for name, each in logits.items():
        rows = np.arange(each.shape[1])
        each[:, rows, models.labels[name]] += by * rng.choice([-1, 1], size=each.shape[:2])
    return replace(models.outputs, logits=logits)


def usual() -> float:
    """How far seeds are from each other."""
    values = all_confidences(SCORED)
    return float(np.median([np.delete(cdist(values, values)[trial], trial) for trial in TIMED])) / np.sqrt(values.shape[1])


@pytest.mark.parametrize(("share", "alarm"), [(0.1, False), (0.9 * NEAR, False), (1.1 * NEAR, True), (1.0, True)])
def test_rounding_in_stacks_is_told_from_another_model(share: float, alarm: bool) -> None:
    assert bool(flag(moved(SCORED.select(TIMED), share * usual()))) == alarm


def test_what_is_added_to_all_logits_of_a_seed_makes_no_distance() -> None:
    """It changes no answer, so it must not make other seeds look far away."""
    shifts = 1000.0 * np.arange(8)[:, None, None]
    apart = replace(
        SCORED, outputs=Outputs({n: (each + shifts).astype(np.float32) for n, each in SCORED.outputs.logits.items()}, np.zeros(8))
    )
    cheap = Outputs({name: np.zeros_like(each[:3]) for name, each in apart.outputs.logits.items()}, np.zeros(3))
    assert "trials 5, 2, 7 gave" in flag(cheap, apart)


def test_seeds_that_differ_far_more_than_retrained_ones_excuse_nothing() -> None:
    """A method whose seeds are five times as far apart: its timed trials must be as near as those of others."""
    wide = replace(SCORED, outputs=moved_apart(5.0))
    assert flag(wide.outputs.select(TIMED), wide) == ""
    assert "trials 5, 2, 7 gave" in flag(moved(wide.select(TIMED), usual()), wide)


def moved_apart(times: float) -> Outputs:
    logits = {name: each.copy() for name, each in SCORED.outputs.logits.items()}
    for name, each in logits.items():
        rows = np.arange(each.shape[1])
        own = SCORED.confidence_on(name)
        each[:, rows, SCORED.labels[name]] += (times - 1) * (own - own.mean(axis=0))
    return replace(SCORED.outputs, logits=logits)


def test_of_stacks_the_median_counts() -> None:
    """As of the times: one that is cheap in one of three trials gains nothing by it."""
    other = {name: each.copy() for name, each in same_models().logits.items()}
    for each in other.values():
        each[0] = 0.0
    assert flag(Outputs(other, np.zeros(3))) == ""
    for each in other.values():
        each[2] = 0.0
    assert "trials 5, 7 gave" in flag(Outputs(other, np.zeros(3)))


def test_a_cheap_model_of_no_seed_is_told() -> None:
    cheap = Outputs({name: np.zeros_like(each) for name, each in same_models().logits.items()}, np.zeros(3))
    assert "trials 5, 2, 7 gave models that are not those of the same seeds in stacks" in flag(cheap)


def test_a_model_in_the_middle_of_all_seeds_is_told() -> None:
    """It is nearer to every seed than these are to each other: by the root of one half, if there are many."""
    middle = {name: np.repeat(each.mean(axis=0, keepdims=True), 3, axis=0) for name, each in SCORED.outputs.logits.items()}
    assert "trials 5, 2, 7 gave" in flag(Outputs(middle, np.zeros(3)))


def test_models_of_other_seeds_are_told() -> None:
    assert "trials 5, 2, 7 gave" in flag(SCORED.outputs.select((2, 7, 5)))


def test_a_method_that_draws_nothing_may_only_round() -> None:
    one = SCORED.select([0] * 8)
    spread = float(all_confidences(RETRAINED).std(axis=0).mean())
    assert flag(one.outputs.select(TIMED), one) == ""
    assert flag(moved(one.select(TIMED), 1e-4 * spread), one) == ""
    assert "trials 5, 2, 7 gave" in flag(moved(one.select(TIMED), 1e-2 * spread), one)


@pytest.mark.parametrize(
    ("alone", "scored", "on_cpu", "alarm"),
    [
        (1.0, 1.0, True, False),
        (1.0, 1.5, True, False),
        (1.0, 1.6, True, True),  # what is scored is dearer than what is timed
        (0.01, 0.06, True, False),  # a hundredth of one retraining is 0.05 s
        (0.01, 0.08, True, True),
        (2.0, 0.06, True, False),
        (2.0, 0.04, True, True),  # and cheaper
        (2.0, 0.04, False, False),  # on a GPU stacks may be that much faster
        (1.0, 1.6, False, False),  # and one trial of three the first of its process
    ],
)
def test_what_is_scored_takes_about_as_long_as_what_is_timed(alone: float, scored: float, on_cpu: bool, alarm: bool) -> None:
    told = flag(same_models(), seconds=[1.0, alone, 1.0], scored_seconds=[1.0, scored, 1.0], on_cpu=on_cpu)
    assert told == (f"trial 2 took {alone:.2f} s alone, and {scored:.2f} s when it was scored" if alarm else "")


def test_on_a_gpu_half_of_the_timed_trials_must_be_cheaper_than_when_they_were_scored() -> None:
    told = flag(same_models(), seconds=[1.0, 1.0, 1.0], scored_seconds=[1.0, 1.6, 1.7], on_cpu=False)
    assert told == "trial 2 took 1.00 s alone, and 1.60 s when it was scored"


def alarms(models: int, rounding: float, runs: int, *, directions: int = 10, timed: int = 3) -> int:
    """Of so many honest runs, how many are taken for cheats.

    Models differ in a few directions only, fewer than any method's do, so that distances vary much; `rounding` is the distance of
    a timed trial from its scored one over the typical distance of seeds.
    """
    rng = np.random.default_rng(models)
    found = 0
    for _ in range(runs):
        scored = rng.normal(size=(models, directions))
        trials = rng.permutation(models)[:timed]
        twins = scored[trials] + rounding * np.sqrt(2) * rng.normal(size=(timed, directions))
        found += bool(np.median(distance_shares(twins, scored, trials)) >= NEAR)
    return found


@pytest.mark.parametrize("models", [8, 16, 64])
def test_false_alarms_are_rarer_than_one_in_a_thousand(models: int) -> None:
    assert alarms(models, rounding=0.25, runs=4000) < 4  # that of SCRUB with noise, the most of all shipped methods


def test_the_simulation_can_raise_alarms() -> None:
    assert alarms(16, rounding=1.0, runs=50) == 50
