"""Differences of memory left: their doubt over fresh worlds, what cancels, and what a scorecard keeps of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.metrics.contrast import Contrast, Linear, Side, Subjects, Yardstick
from bench.metrics.memory_left import Memory, memory_left
from bench.metrics.memory_order import Parts, p_values

PEOPLE, PHOTOS, STRANGERS = 40, 3, 60
LABELS = np.arange(PEOPLE * PHOTOS) // PHOTOS % 4, np.arange(STRANGERS * 2) // 2 % 4
SUBJECTS = Subjects(LABELS[0], np.arange(PEOPLE * PHOTOS) // PHOTOS), Subjects(LABELS[1], np.arange(STRANGERS * 2) // 2)


class World:
    """People whom an original remembers, and N retrained models that never saw them."""

    def __init__(self, models: int, generator: np.random.Generator) -> None:
        self.models, self.generator = models, generator
        self.memory = np.repeat(2 + 0.75 * generator.normal(size=(1, PEOPLE)), PHOTOS, axis=1)
        self.original = Side(self.memory, np.zeros((1, STRANGERS * 2)))
        self.against = Yardstick(self._sampled(1.0), *SUBJECTS)

    def _sampled(self, spread: float) -> Side:
        common = self.generator.normal(size=(self.models, 1))

        def photos(people: int, each: int) -> np.ndarray:
            own = np.repeat(self.generator.normal(size=(self.models, people)), each, axis=1)
            return spread * (0.3 * common + 0.5 * own + 0.8 * self.generator.normal(size=(self.models, people * each)))

        return Side(photos(PEOPLE, PHOTOS), photos(STRANGERS, 2))

    def method(self, left: float, spread: float = 1.0, like: Side | None = None, unlike: float = 0.15) -> Side:
        """Models that keep a share of the memory, of every person another one; if `like` others, mostly with their noise."""
        kept = left + unlike * np.repeat(self.generator.normal(size=(1, PEOPLE)), PHOTOS, axis=1)
        sampled = self._sampled(spread)
        if like:
            mixed = [0.9 * old + 0.44 * new for old, new in ((like.forget, sampled.forget), (like.unseen, sampled.unseen))]
            sampled = Side(*mixed)
        return Side(sampled.forget + kept * self.memory, sampled.unseen)

    def found(self, *sides: Side) -> list[Memory]:
        """Memory left of each."""
        found = [memory_left(side, self.original, self.against) for side in sides]
        return [memory for memory in found if memory]

    def p_value(self, *sides: Side) -> float:
        """Of the difference of two."""
        found = self.found(*sides)
        return float(p_values([memory.left for memory in found], [memory.parts for memory in found])[0, 1])


def rejected(models: int, shares: tuple[float, float], worlds: int) -> float:
    generator = np.random.default_rng(models)
    found = []
    for _ in range(worlds):
        world = World(models, generator)
        found.append(world.p_value(world.method(shares[0]), world.method(shares[1], 0.6)) < 0.05)
    return float(np.mean(found))


def test_methods_of_equal_memory_are_rarely_told_apart() -> None:
    """200 worlds: more than 20 of them are 1 in 300 if the level is .05."""
    assert rejected(16, (0.4, 0.4), 200) <= 0.10


def test_methods_with_more_and_less_are() -> None:
    assert rejected(16, (0.4, 0.6), 50) > 0.9


def test_trials_that_go_together_do_not_make_a_difference() -> None:
    """Two settings of one method with one seed have most of their noise in common, of each person, too; else 35 are told."""
    generator = np.random.default_rng(7)
    told = 0
    for _ in range(200):
        world = World(16, generator)
        noise = world.method(0.0)
        told += world.p_value(*(world.method(0.4, like=noise, unlike=0.1) for _ in range(2))) < 0.05
    assert told <= 20


@pytest.mark.slow
@pytest.mark.parametrize("models", [8, 16, 64])
@pytest.mark.parametrize("shares", [(0.4, 0.4), (0.0, 0.0), (0.9, 0.9), (-0.3, 0.3)])
def test_level_over_many_worlds(models: int, shares: tuple[float, float]) -> None:
    level = rejected(models, shares, 1000)
    print(f"N = {models}, {shares}: {level:.3f}")
    assert level <= 0.07


@pytest.mark.independent
def test_deviation_is_how_far_differences_scatter() -> None:
    """Against the scatter of the difference over 300 worlds, in place of the linearisation."""
    generator = np.random.default_rng(1)
    gaps, deviations = [], []
    for _ in range(300):
        world = World(12, generator)
        one, other = world.found(world.method(0.5), world.method(-0.2))
        gap = abs(one.left) - abs(other.left)
        p_value = p_values([one.left, other.left], [one.parts, other.parts])[0, 1]
        gaps.append(gap)
        deviations.append(_deviation(abs(gap), p_value))
    assert float(np.sqrt(np.mean(np.square(deviations)))) == pytest.approx(np.std(gaps), rel=0.15)


def _deviation(gap: float, p_value: float) -> float:
    """Of a normal distribution with this p-value; the worlds have enough people for Student's t to be near it."""
    from scipy.stats import norm

    return gap / float(norm.isf(p_value / 2)) if p_value < 1 else 0.0


@pytest.mark.independent
def test_variance_is_that_of_the_difference_of_contrasts() -> None:
    """`Linear`, which memory left's own interval uses, with trials that have nothing in common."""
    world = World(10, np.random.default_rng(3))
    sides = world.method(0.5), world.method(0.2)
    one, other = world.found(*sides)
    ours, theirs = (world.against.contrast(side) for side in sides)
    original, floor = world.against.contrast(world.original), world.against.contrast(world.against.retrained)
    gap = one.left - other.left
    paired = Contrast(ours.models - theirs.models, ours.forgotten - theirs.forgotten, ours.strangers - theirs.strangers)
    linear = Linear.combined([(paired, 1.0), (floor, gap), (original, -gap)])
    separate = Linear.combined([(ours, 1.0), (theirs, -1.0), (floor, gap), (original, -gap)])
    together = min(paired.models.var(ddof=1) / (ours.models.var(ddof=1) + theirs.models.var(ddof=1)), 1)
    mine, floors = separate.forgotten_noise, Linear.combined([(floor, gap), (original, -gap)])
    linear = replace(
        linear,
        forgotten_noise=together * (mine - floors.forgotten_noise) + floors.forgotten_noise,
        strangers_noise=together * (separate.strangers_noise - floors.strangers_noise) + floors.strangers_noise,
    )
    variance, freedom = linear.variance(world.against.corrections)

    from scipy.stats import t

    expected = 2 * t.sf(gap * one.remembered / np.sqrt(variance), freedom)
    assert p_values([one.left, other.left], [one.parts, other.parts])[0, 1] == pytest.approx(expected)


def test_what_runs_have_in_common_cancels() -> None:
    world = World(8, np.random.default_rng(4))
    side = world.method(0.4)
    (one,) = world.found(side)
    assert p_values([one.left] * 2, [one.parts] * 2).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    more = Side(side.forget + 0.02 * world.memory, side.unseen)
    (other,) = world.found(more)
    assert one.reach > 3 * abs(other.left - one.left)
    assert world.p_value(side, more) < 1e-6  # everybody is remembered by as much more


def test_too_little_and_too_much_are_alike() -> None:
    world = World(16, np.random.default_rng(5))
    kept = world.method(0.3)
    (one,) = world.found(kept)
    mirrored = Side(kept.forget - 2 * one.left * world.memory, kept.unseen)
    (other,) = world.found(mirrored)
    assert one.left > 0.2
    assert other.left == pytest.approx(-one.left, abs=0.02)
    assert world.p_value(kept, mirrored) > 0.3


def test_a_scorecard_keeps_it_as_plain_numbers() -> None:
    world = World(8, np.random.default_rng(6))
    (memory,) = world.found(world.method(0.4))
    kept = Parts.kept(json.loads(json.dumps(memory.parts.details())))
    assert kept
    assert kept.form == memory.parts.form == (8, PEOPLE, STRANGERS)
    for name in Parts.NAMES:
        assert getattr(kept, name).tolist() == getattr(memory.parts, name).tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"memory_left_by_trial": []},
        {"memory_left_by_trial": [1.0]},
        {"memory_left_noise": [1.0]},
        {"memory_left_by_stranger": [None]},
    ],
)
def test_what_is_something_else_is_nothing(change: dict) -> None:
    world = World(8, np.random.default_rng(7))
    (memory,) = world.found(world.method(0.4))
    assert Parts.kept({**memory.parts.details(), **change}) is None
    assert Parts.kept({}) is None
