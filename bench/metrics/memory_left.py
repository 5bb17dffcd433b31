"""Memory left: how much more of the forgotten than of strangers unlearned models know, of what the original model does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.hookspecs import hookimpl
from bench.metrics.contrast import Linear, Side, Subjects, Yardstick
from bench.metrics.memory_order import Parts
from bench.metrics.metric import Baseline, Estimate, Evidence, Findings, Metric, Models, Quantity
from bench.metrics.resampling import LEVEL, Z

FEWEST_PEOPLE = 5  # of either side: fewer say nothing about people
SURE = 2.0  # standard deviations by which the original model must know the forgotten better than strangers
UNKNOWN = -1


@dataclass(frozen=True)
class Memory:
    """What unlearned models remember, as a share of what the original model does."""

    left: float
    reach: float  # half of the 95 % interval
    remembered: float  # by how much more, in retrained models' spread, the original knows the forgotten than strangers
    parts: Parts  # for the difference to another run


def memory_left(unlearned: Side, original: Side, against: Yardstick) -> Memory | None:
    """Memory left with an interval over models and people; None: the original model remembers nothing.

    Args:
        unlearned: logit-scaled confidences of N >= 2 models on the forgotten [N, E] and on strangers [N, U].
        original: the same of the one original model.
        against: the retrained models, and who the examples are of.

    Returns:
        `left`: 0 as retrained models, 1 as the original, below 0 if less is known of the forgotten than of strangers. The
        interval is linearised in unlearned - (1 - r) retrained - r original; variances over models and over people (whole
        identities, the forgotten and strangers apart) add up, with Student's t for both. A single original model is given, not
        sampled. Source: docs/reference/protocol.md; the variance is that of Owen 2007.

    >>> spread = np.array([-1.0, 0.0, 1.0])[:, None]
    >>> people = Subjects(labels=np.zeros(2, np.int64), units=np.arange(2))
    >>> against = Yardstick(Side(spread + np.zeros(2), spread + np.zeros(2)), people, people)
    >>> found = memory_left(Side(spread + 2.0, spread + 1.0), Side(np.full((1, 2), 4.0), np.zeros((1, 2))), against)
    >>> found.left
    0.25
    """
    from scipy.stats import t

    ours, theirs, floor = (against.contrast(side) for side in (unlearned, original, against.retrained))
    remembered = float(theirs.models.mean())
    doubt, _ = Linear.combined([(theirs, 1.0), (floor, -1.0)]).variance(against.corrections)
    if remembered <= SURE * math.sqrt(doubt):
        return None
    left = float(ours.models.mean()) / remembered
    variance, freedom = Linear.combined([(ours, 1.0), (floor, left - 1), (theirs, -left)]).variance(against.corrections)
    reach = float(t.ppf(1 - LEVEL / 2, freedom)) * math.sqrt(variance) / remembered
    return Memory(left, reach, remembered, Parts.of(ours, theirs, floor, against))


@dataclass(frozen=True)
class Grounds:
    """Whom to compare in a task: which examples, of whom, and what is unusual about them."""

    yardstick: Yardstick
    strangers: str  # the split that they are of
    kept: tuple[NDArray[np.bool_], NDArray[np.bool_]]  # of the forgotten, of strangers: those on which retrained models differ
    notes: tuple[str, ...]

    @classmethod
    def of(cls, retrained: Models) -> Grounds:
        """People in no training set, or where there are none the test split."""
        strangers = "unseen" if retrained.labels["unseen"].size else "test"
        splits = ("forget", strangers)
        values = {split: retrained.confidence_on(split) for split in splits}
        kept = {split: np.ptp(side, axis=0) > 0 for split, side in values.items()}
        sides = {split: side[:, kept[split]] for split, side in values.items()}
        subjects, notes = {}, []
        if strangers == "test":
            notes.append("strangers are the test split: there are no unseen people")
        for split in splits:
            units, note = _units(split, retrained, kept[split])
            subjects[split] = Subjects(retrained.labels[split][kept[split]], units)
            notes += [note] if note else []
        alike = sum(int((~each).sum()) for each in kept.values())
        if alike:
            notes.append(f"{alike} examples on which retrained models do not differ are left out")
        yardstick = Yardstick(Side(*(sides[split] for split in splits)), *(subjects[split] for split in splits))
        lonely = int((~yardstick.matched).sum())
        if lonely:
            notes.append(f"{lonely} of {len(yardstick.matched)} forgotten examples are left out: no stranger is of their class")
        return cls(yardstick, strangers, (kept["forget"], kept[strangers]), tuple(notes))

    @property
    def enough(self) -> bool:
        """Whether at least half of the forgotten examples can be compared with anybody."""
        matched, kept = self.yardstick.matched, self.kept[0]
        return bool(matched.sum() * 2 >= len(kept) and matched.any())

    def side(self, models: Models) -> Side:
        """Confidences of models on those examples."""
        forgotten, strangers = self.kept
        return Side(models.confidence[:, forgotten], models.confidence_on(self.strangers)[:, strangers])


def _units(split: str, models: Models, kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], str]:
    """Whose examples are resampled together: a person's, or each its own; and why, if that is not people."""
    people = models.people.get(split)
    alone = np.arange(int(kept.sum()))
    if people is None:
        return alone, f"photos of {split} stand for people: who is on them is not known"
    people = people[kept]
    known = len(np.unique(people[people != UNKNOWN]))
    if known < FEWEST_PEOPLE:
        return alone, f"photos of {split} stand for people: there are fewer than {FEWEST_PEOPLE}"
    return np.where(people == UNKNOWN, UNKNOWN - alone, people), ""


class MemoryLeft(Metric):
    """Memory left: how much more unlearned models know of the forgotten than of strangers; 1 is the original model, 0 the target.

    Per example, the mean logit-scaled confidence of unlearned models less that of retrained ones, over the latter's standard
    deviation. The mean over forget examples less that over unseen people, weighted so that their classes are as frequent, and
    that as a share of the same difference for the original model. Drift that touches strangers as well cancels out. Below 0
    models know less of the forgotten than of strangers, which gives the forgotten away, too. The interval is over models and
    over people.
    """

    quick = True
    version = 2
    source = (
        "docs/reference/protocol.md, section 8.1; standardised by retrained models as in Carlini et al. 2022, arXiv:2112.03570"
    )
    pitfalls = (
        "A mean: some people remembered and others over-forgotten cancel out, and neither spread nor shape counts. Read it with"
        " excess epsilon. Its interval is mostly about which people were drawn, so it hardly shrinks with more models."
    )
    quantities = (
        Quantity(
            "memory_left",
            "of the original's",
            "as retrained",
            -math.inf,
            math.inf,
            "what unlearned models know more of the forgotten than of strangers, as a share of what the original does",
            family="forgetting",
            table="results",
            decimals=2,
        ),
        Quantity(
            "remembered",
            "standard deviations",
            "as retrained",
            -math.inf,
            math.inf,
            "by how much more the original model knows the forgotten than strangers, in retrained models' spread",
            family="forgetting",
        ),
    )

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """What retrained models have left is 0, and the original 1, by definition."""
        return Baseline({"memory_left": Estimate(0.0, 0.0)}, {"memory_left": Estimate(1.0)})

    def score(self, evidence: Evidence) -> Findings:
        """Memory left, or why there is none."""
        if evidence.original is None:
            return Findings()
        grounds = Grounds.of(evidence.retrained)
        if not grounds.enough:
            why = "no number: for over half of the forgotten examples there are no strangers"
            return Findings(notes=(*grounds.notes, why))
        found = memory_left(grounds.side(evidence.unlearned), grounds.side(evidence.original), grounds.yardstick)
        if found is None:
            why = "nothing to forget: the original model does not know the forgotten better than strangers"
            return Findings(notes=(*grounds.notes, why))
        # The interval is Student's; a scorecard makes those of a normal distribution from standard deviations.
        estimates = {"memory_left": Estimate(found.left, found.reach / Z), "remembered": Estimate(found.remembered)}
        return Findings(estimates, details=found.parts.details(), notes=grounds.notes)


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register memory left."""
    register(MemoryLeft)
