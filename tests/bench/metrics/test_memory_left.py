"""Memory left: by hand, against the definition in loops, its interval over fresh worlds, and where there is no number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from bench.metrics.contrast import Side, Subjects, Yardstick
from bench.metrics.memory_left import Grounds, MemoryLeft, memory_left
from bench.metrics.metric import Evidence, Findings, Models
from bench.metrics.resampling import Z
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted, widened

MEMBER = 3.0  # the population's


def found(unlearned: Models, retrained: Models, original: Models) -> Findings:
    return MemoryLeft().score(Evidence(unlearned, retrained, UNTIMED, original=original))


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.draw(200, 0)


@pytest.fixture(scope="module")
def retrained(population: Population) -> Models:
    return population.retrained(32)


@pytest.mark.parametrize("share", [-0.5, 0.0, 0.4, 1.0])
def test_the_share_that_is_kept_is_found(population: Population, retrained: Models, share: float) -> None:
    kept = population.case(shifted(MEMBER * share), retrained)
    estimate = found(kept, retrained, population.original()).estimates["memory_left"]
    assert estimate.value == pytest.approx(share, abs=0.1)
    assert abs(estimate.value - share) < 3 * (estimate.sd or 0)


def test_drift_that_strangers_share_is_no_memory(population: Population, retrained: Models) -> None:
    """All confidences fall by one standard deviation."""
    lower = population.retrained(32)
    logits = {split: each.copy() for split, each in lower.outputs.logits.items()}
    for split, each in logits.items():
        each[:, np.arange(each.shape[1]), lower.labels[split]] -= 1.0
    drifted = replace(lower, outputs=replace(lower.outputs, logits=logits))
    assert found(drifted, retrained, population.original()).estimates["memory_left"].value == pytest.approx(0, abs=0.05)


def test_the_original_has_all_of_it_and_retrained_models_none(population: Population, retrained: Models) -> None:
    original = population.original()
    several = original.select([0] * 32)
    assert found(several, retrained, original).estimates["memory_left"].value == pytest.approx(1)
    assert found(retrained, retrained, original).estimates["memory_left"].value == pytest.approx(0)
    baseline = MemoryLeft().baseline(retrained, original)
    assert (baseline.retrained["memory_left"].value, baseline.original["memory_left"].value) == (0, 1)


@pytest.mark.independent
def test_against_the_definition_in_loops() -> None:
    """Protocol 8.1, an example and a stranger at a time."""
    generator = np.random.default_rng(3)
    labels, others = generator.integers(3, size=12), generator.integers(3, size=20)
    people = [Subjects(each, np.arange(len(each)) // 2) for each in (labels, others)]
    draw = generator.normal
    retrained, unlearned = (Side(draw(size=(6, 12)), draw(size=(6, 20))) for _ in range(2))
    original = Side(draw(3, 1, size=(1, 12)), draw(size=(1, 20)))
    memory = memory_left(unlearned, original, Yardstick(retrained, *people))
    assert memory
    numerator, denominator = (_difference(side, retrained, labels, others) for side in (unlearned, original))
    assert memory.left == pytest.approx(numerator / denominator)
    assert memory.remembered == pytest.approx(denominator)


def _difference(side: Side, retrained: Side, labels: np.ndarray, others: np.ndarray) -> float:
    def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
        mean = sum(theirs) / len(theirs)
        return (sum(ours) / len(ours) - mean) / (sum((x - mean) ** 2 for x in theirs) / (len(theirs) - 1)) ** 0.5

    forget = [distance(side.forget[:, e], retrained.forget[:, e]) for e in range(len(labels))]
    unseen = [distance(side.unseen[:, u], retrained.unseen[:, u]) for u in range(len(others))]
    weights = [list(labels).count(label) / len(labels) / list(others).count(label) for label in others]
    return sum(forget) / len(forget) - sum(weight * value for weight, value in zip(weights, unseen, strict=True))


WORLDS: Mapping[str, Mapping[str, float]] = {
    "retrained": {"left": 0.0, "between": 0.0, "spread": 1.0},
    "people differ": {"left": 0.0, "between": 0.25, "spread": 1.3},
    "partly kept": {"left": 0.4, "between": 0.15, "spread": 0.9},
    "barely trained": {"left": 0.85, "between": 0.03, "spread": 0.3},
    "heavy tails": {"left": 0.4, "between": 0.15, "spread": 0.9, "tails": 4.0},
}
PEOPLE, PHOTOS, STRANGERS = 40, 3, 150


def simulated(models: int, world: Mapping[str, float], generator: np.random.Generator) -> tuple[float, float]:
    """Memory left of a world's models, and how far its interval reaches."""

    def noise(size: tuple[int, ...]) -> np.ndarray:
        if "tails" not in world:
            return generator.normal(size=size)
        return generator.standard_t(world["tails"], size=size) / np.sqrt(world["tails"] / (world["tails"] - 2))

    def photos(values: np.ndarray, each: int) -> np.ndarray:
        return np.repeat(values, each, axis=-1)

    def sampled(people: int, each: int, spread: float) -> np.ndarray:
        """A factor common to a model, its own of a person, and its own of a photo."""
        common, person = 0.3 * noise((models, 1)), 0.5 * photos(noise((models, people)), each)
        return spread * (common + person + np.sqrt(1 - 0.34) * noise((models, people * each)))

    labels = (np.arange(PEOPLE * PHOTOS) // PHOTOS % 8, np.arange(STRANGERS * 4) // 4 % 8)
    subjects = (Subjects(labels[0], np.arange(PEOPLE * PHOTOS) // PHOTOS), Subjects(labels[1], np.arange(STRANGERS * 4) // 4))
    retrained = Side(sampled(PEOPLE, PHOTOS, 1.0), sampled(STRANGERS, 4, 1.0))
    memory = photos(2.0 + 0.75 * noise((1, PEOPLE)), PHOTOS)
    kept = world["left"] * memory + photos(2.0 * world["between"] * noise((1, PEOPLE)), PHOTOS)
    unlearned = Side(kept + sampled(PEOPLE, PHOTOS, world["spread"]), sampled(STRANGERS, 4, world["spread"]))
    original = Side(memory + np.zeros((1, PEOPLE * PHOTOS)), np.zeros((1, STRANGERS * 4)))
    found = memory_left(unlearned, original, Yardstick(retrained, *subjects))
    assert found
    return found.left, found.reach


def coverage(models: int, world: Mapping[str, float], worlds: int) -> float:
    """How often the interval holds the true share."""
    generator = np.random.default_rng(models)
    draws = [simulated(models, world, generator) for _ in range(worlds)]
    return float(np.mean([abs(left - world["left"]) <= reach for left, reach in draws]))


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_the_interval_covers_the_truth(world: Mapping[str, float]) -> None:
    """200 worlds: one below .90 is 1 in 500 if it covers .95."""
    assert coverage(16, world, 200) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("models", [8, 16, 64])
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_coverage_is_nominal(models: int, world: Mapping[str, float]) -> None:
    assert 0.92 <= coverage(models, world, 2000) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("models", [8, 16, 64])
@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_nothing_left_is_said_of_other_widths(models: int, width: float) -> None:
    """In 200 worlds; 20 or more are 1 in 300 if the level is .05."""
    outside = 0
    for seed in range(1000, 1200):
        population = Population.draw(120, seed)
        retrained, original = population.retrained(models), population.original()
        grounds = Grounds.of(retrained)
        unlearned = population.case(widened(width), retrained)
        memory = memory_left(grounds.side(unlearned), grounds.side(original), grounds.yardstick)
        outside += memory is None or abs(memory.left) > memory.reach
    print(f"N = {models}, width {width}: {outside / 200:.3f}")
    assert outside < 20


def test_interval_is_students() -> None:
    """What the scorecard makes of the estimate are the ends that were found."""
    population = Population.draw(50, 1)
    retrained, original = population.retrained(8), population.original()
    unlearned = population.case(shifted(1.0), retrained)
    estimate = found(unlearned, retrained, original).estimates["memory_left"]
    people = [Subjects(retrained.labels[split], np.arange(retrained.labels[split].size)) for split in ("forget", "unseen")]
    sides = [Side(each.confidence, each.confidence_on("unseen")) for each in (unlearned, original, retrained)]
    memory = memory_left(*sides[:2], Yardstick(sides[2], *people))
    assert memory
    assert Z * (estimate.sd or 0) == pytest.approx(memory.reach)


def of_people(models: Models, forget: np.ndarray, unseen: np.ndarray) -> Models:
    return replace(models, people={"forget": forget, "unseen": unseen})


def test_whole_people_are_resampled_and_photos_where_nobody_knows_them(population: Population) -> None:
    """Ten photos of each: as their confidences are alike, the interval is wider."""
    few = Population.draw(20, 2)
    copies = {"forget": np.repeat(np.arange(20), 10), "unseen": np.repeat(np.arange(200), 10)}
    sides = []
    for change in (shifted(0.0), shifted(1.0)):
        models = few.case(change, few.retrained(8))
        logits = {split: each[:, copies.get(split, np.arange(each.shape[1]))] for split, each in models.outputs.logits.items()}
        labels = {split: each[copies.get(split, np.arange(len(each)))] for split, each in models.labels.items()}
        sides.append(Models(replace(models.outputs, logits=logits), labels))
    retrained, unlearned = sides
    original = unlearned.select([0])
    unknown = found(unlearned, retrained, original)
    assert [note.split(":")[0] for note in unknown.notes] == [f"photos of {s} stand for people" for s in ("forget", "unseen")]
    known = found(unlearned, of_people(retrained, *copies.values()), original)
    assert known.notes == ()
    assert known.estimates["memory_left"].value == pytest.approx(unknown.estimates["memory_left"].value)
    assert (known.estimates["memory_left"].sd or 0) > 1.5 * (unknown.estimates["memory_left"].sd or 0)


def test_a_few_people_say_nothing_about_people(population: Population, retrained: Models) -> None:
    four = of_people(retrained, np.arange(200) % 4, np.arange(200))
    assert found(retrained, four, population.original()).notes == ("photos of forget stand for people: there are fewer than 5",)


def test_somebody_unknown_is_nobody_else(population: Population, retrained: Models) -> None:
    half = of_people(retrained, np.where(np.arange(200) < 100, np.arange(200), -1), np.arange(200))
    everybody = of_people(retrained, np.arange(200), np.arange(200))
    unlearned, original = population.case(shifted(1.0), retrained), population.original()
    one, other = (found(unlearned, each, original).estimates["memory_left"] for each in (half, everybody))
    assert (one.value, one.sd) == pytest.approx((other.value, other.sd))


def without_unseen(models: Models) -> Models:
    logits = {**models.outputs.logits, "unseen": models.outputs.logits["unseen"][:, :0]}
    return Models(replace(models.outputs, logits=logits), {**models.labels, "unseen": models.labels["unseen"][:0]})


def test_without_strangers_test_images_are_taken(population: Population, retrained: Models) -> None:
    sides = [without_unseen(each) for each in (population.case(shifted(1.5), retrained), retrained, population.original())]
    told = found(*sides)
    assert told.notes[0] == "strangers are the test split: there are no unseen people"
    assert told.estimates["memory_left"].value == pytest.approx(0.5, abs=0.1)


def with_unseen_labels(models: Models, labels: np.ndarray) -> Models:
    return replace(models, labels={**models.labels, "unseen": labels})


def test_classes_without_strangers_are_left_out_and_counted(population: Population, retrained: Models) -> None:
    kept = np.where(population.labels["unseen"] == 3, 4, population.labels["unseen"])
    lonely = int((population.labels["forget"] == 3).sum())
    told = found(retrained, with_unseen_labels(retrained, kept), population.original())
    assert f"{lonely} of 200 forgotten examples are left out: no stranger is of their class" in told.notes
    assert told.estimates
    none = found(retrained, with_unseen_labels(retrained, np.full(200, 3)), population.original())
    assert not none.estimates
    assert none.notes[-1] == "no number: for over half of the forgotten examples there are no strangers"


def test_examples_on_which_retrained_models_agree_are_left_out_and_counted(population: Population, retrained: Models) -> None:
    logits = {**retrained.outputs.logits, "forget": retrained.outputs.logits["forget"].copy()}
    logits["forget"][:, :3] = logits["forget"][0, :3]
    stiff = replace(retrained, outputs=replace(retrained.outputs, logits=logits))
    told = found(population.case(shifted(1.5), retrained), stiff, population.original())
    assert "3 examples on which retrained models do not differ are left out" in told.notes
    assert told.estimates["memory_left"].value == pytest.approx(0.5, abs=0.1)


def test_an_original_that_remembers_nobody_leaves_nothing_to_forget(population: Population, retrained: Models) -> None:
    stranger = population.retrained(1)
    told = found(retrained, retrained, stranger)
    assert not told.estimates
    assert told.notes[-1] == "nothing to forget: the original model does not know the forgotten better than strangers"


def test_without_an_original_there_is_no_number(retrained: Models) -> None:
    assert MemoryLeft().score(Evidence(retrained, retrained, UNTIMED)) == Findings()
