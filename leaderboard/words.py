"""What the board says in plain words: flags, badges, families of numbers, and the sentence at the top."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.budget import in_words
from bench.errors import in_reading_order
from bench.metrics.quantity import Family
from bench.scoring.ceilings import Ceiling
from bench.scoring.columns import written
from bench.scoring.ranking import UNRANKED, Place, better_unranked
from bench.scoring.rows import Row
from bench.scoring.scorecard import CHALLENGE, HEADLINE
from bench.store.records import RunRecord

FEWEST_RANKED = 2  # rows, of which one can lead
LONGEST = 60  # characters of a method's name within a sentence

BADGES = {
    "screening": "Fewer than 32 models: good enough to develop with, too few to publish.",
    "control": "Shown so that the others can be read: original is no unlearning, retrain is perfect unlearning.",
    "over budget": "In the median of its timed trials it takes more than a tenth above the budget: shown, not ranked.",
    "borderline": "It takes what the budget allows, give or take the tenth by which times differ from hour to hour.",
    "timed on a busy machine": "Others used more than half of the processor meanwhile. Times are compared with retraining beside"
    " them, so the rank holds where there is one.",
    "uneven times": "Some trials take far longer than most, so the median says little. Shown, not ranked.",
    "timed differently": "What was timed is not what was scored: other models, or another time. Shown, not ranked.",
    "uses clock": "The method looks at the clock, so its numbers depend on the machine's speed.",
    "smaller stacks": "Memory did not suffice for the usual number of models at once; the numbers are the same.",
    "self-reported": "Made elsewhere, by its author. Checksums fit and scores follow from the outputs; nobody else ran it.",
    "verified": "The board's keeper ran it.",
    "deterministic": "All trials give one model, without a spread that could be like retraining's. Where that was seen, no rank"
    " by memory left, and the challenge's score counts it as no forgetting.",
    "reconstruction": "A part of what it stands for was not published or could not be read, and is the plugin author's own; the"
    " method's page says which.",
    "above-ceiling": "It scores more than retraining itself, by more than chance: nobody is more like retraining than retraining."
    " Not ranked.",
    "utility lost": "Less accuracy is left than a row has to keep. Shown, not ranked.",
    "near-constant": "The confidences hardly vary between trials: a score can be high without forgetting. Not ranked where it is"
    " higher than what retraining itself scores.",
    "outlier-models": "A few trials differ wildly from the rest, which hides the rest from the challenge's score. Not ranked.",
    "duplicate-trials": "Some trials gave exactly the same model. Not ranked.",
    "copied": "Models deviate as certain retrained models do: they were made from them. Not ranked.",
    "too-close": "The models follow the retrained distribution more evenly than chance does: nobody draws from it like that."
    " Not ranked.",
    "clustered": "On every photo the models sit on a few levels, which no training does: their confidences were chosen."
    " Not ranked.",
    "shared-seeds": "Trials resemble retrained models of the same index more than independent ones would. Not ranked.",
    "utility-collapse": "Much of the accuracy is lost: a useless model forgets everything.",
    "over-unlearned": "The forgotten are recognised worse than by models that never saw them, which gives them away, too.",
}

FAMILIES: Mapping[Family, tuple[str, str]] = {  # title and introduction of a run's sections
    "forgetting": (
        "Forgetting",
        "How much more than of strangers do unlearned models know of the forgotten, and can they be told from models retrained"
        " without them?",
    ),
    "attack": (
        "Membership attacks",
        "What an attacker achieves who wants to know whether a person was in the training set. The target is what retrained"
        " models get, not one half. An attack that does not even see members under the original model is greyed out: it says"
        " nothing.",
    ),
    "utility": ("Utility", "What the model can still do, beside retrained models."),
    "runtime": ("Runtime", "Seconds of the device for one trial, alone on it; the budget is a share of one retraining."),
    "other": ("Other metrics", "Numbers whose metrics name no other part."),
}


@dataclass(frozen=True)
class Headline:
    """What a reader should take away: who leads, what that is worth."""

    sentence: str
    caveat: str


def headline(title: str, placed: Sequence[Place], top: Ceiling | None, models: int, unverified: Container[Path] = ()) -> Headline:
    """The division in a sentence, and what to doubt about it; `unverified`: folders of runs that only their authors ran.

    A single row that passes the gates has nobody to lead.
    """
    ranked = sorted((place for place in placed if place.rank), key=_number)
    if len(ranked) < FEWEST_RANKED:
        return Headline(_nobody_leads(title, placed, ranked), _caveat(top, models, []) if ranked else "")
    leader = ranked[0].row
    sentence = f"On {title}, {_name(leader)} leads: {_left(leader)} of the memory is left"
    tied = [place.row for place in ranked[1:] if place.rank and place.rank.best == 1]
    if tied:
        sentence += f"; it cannot be told apart from {_listed([_name(item) for item in tied])}"
    if better := better_unranked(placed):
        reasons = {place.row.folder: place.reason for place in placed}
        nearer = [f"{_name(item)} ({_left(item)}, {reasons[item.folder].partition(':')[0]})" for item in better]
        sentence += f"; {_listed(nearer)} would be above it, but {'is' if len(better) == 1 else 'are'} not ranked"
    sentence += _by_score(placed, top)
    return Headline(f"{sentence}.", _caveat(top, models, [_name(item) for item in [leader, *tied] if item.folder in unverified]))


def _number(place: Place) -> int:
    return place.rank.number if place.rank else 0


def _nobody_leads(title: str, placed: Sequence[Place], ranked: Sequence[Place]) -> str:
    reasons = [f"{_name(place.row)} ({place.reason.partition(':')[0]})" for place in placed if place.group == UNRANKED]
    without = f"; not ranked: {_listed(reasons)}" if reasons else ""
    if ranked:
        alone = ranked[0].row
        return f"On {title}, only {_name(alone)} is ranked, with {_left(alone)} of the memory left, so nobody leads{without}."
    if any(place.challenge for place in placed):
        return f"On {title}, no run has a number for memory left to be ranked by{_by_score(placed, None)}{without}."
    return f"On {title}, no run is ranked yet{without}."


def _by_score(placed: Sequence[Place], top: Ceiling | None) -> str:
    best = next((place.row for place in placed if place.challenge and place.challenge.number == 1), None)
    if best is None:
        return ""
    told = f"; by the challenge's score {_name(best)} is first with {best.value(CHALLENGE):.3f}"
    return f"{told}, where retraining itself gets {'about ' if top.provisional else ''}{top.final:.3f}" if top else told


def _left(item: Row) -> str:
    """Memory left, with its interval."""
    measure = item.measure(HEADLINE)
    if measure is None:
        return "nobody knows how much"
    value = written(measure.value, measure.unit, 2)
    return value if measure.margin is None else f"{value} (\N{PLUS-MINUS SIGN}{written(measure.margin, measure.unit, 2)})"


def _caveat(top: Ceiling | None, models: int, unverified: Sequence[str]) -> str:
    parts = []
    if unverified:
        parts.append(f"{_listed(unverified)} {'is' if len(unverified) == 1 else 'are'} self-reported: nobody else ran it.")
    if models < 32:
        parts.append(f"N = {models} is a screening: good enough to develop with, too few models to publish.")
    if top and top.provisional:
        parts.append("The ceiling is provisional: halves of the retrained models against each other.")
    return " ".join(parts)


def _name(item: Row) -> str:
    """A method's name within a sentence: short, and whatever direction it is written in, the sentence keeps its own."""
    short = item.label if len(item.label) <= LONGEST else f"{item.label[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
    return short if short.isascii() else f"\N{FIRST STRONG ISOLATE}{short}\N{POP DIRECTIONAL ISOLATE}"


def _listed(names: Sequence[str], most: int = 2) -> str:
    """A few names, and how many others.

    >>> _listed(["a"]), _listed(["a", "b"]), _listed(["a", "b", "c", "d"])
    ('a', 'a and b', 'a, b and 2 others')
    """
    shown, rest = list(names[:most]), len(names) - most
    if rest > 0:
        shown.append(f"{rest} other{'s' if rest > 1 else ''}")
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def title_of(record: RunRecord) -> str:
    """A division in words."""
    task = in_reading_order(record.task.name)
    return f"{task} with N = {record.models}, {in_words(record.budget)}, on {record.device.kind}"
