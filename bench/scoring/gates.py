"""Gates, decided before any ranking: which rows are finished, believed, useful and in time. The others keep their numbers."""

from __future__ import annotations

import math
from statistics import mean, median

from bench.metrics.timed_trials import TIMED_DIFFERENTLY
from bench.scoring.ceilings import ABOVE, ABOVE_CEILING, above
from bench.scoring.rows import BUSY_MACHINE, OVER_BUDGET, SELF_REPORTED, UNEVEN, USEFUL, UTILITY_LOST, Row
from bench.scoring.scorecard import Scorecard

# Flags of what no honest run does; each was tried on honest rows and on what it is to catch (docs/evidence/flags.md).
VOIDING = (TIMED_DIFFERENTLY, "copied", "shared-seeds", "too-close", "clustered", "outlier-models", "duplicate-trials")
NEAR_CONSTANT = "near-constant"  # so is short fine-tuning, which is honest and scores little
DECIDING = {  # metrics without which nobody is ranked
    "timed-trials": "whether what is timed is what is scored",
    "flags": "whether its models are what they seem to be",
    "utility": "whether it is still useful",
    "challenge": "whether it scores more than retraining itself",
}


NOT_COMPUTED = "not computed yet; `bench score` does it"


def stated() -> list[str]:
    """What is asked of a row, in words."""
    asked = [f"{_accuracy(name)} at least {100 * share:.0f} % of retrained models'" for name, share in USEFUL.items()]
    return [
        "all trials finished",
        "time: in the median of its timed trials at most a tenth above the budget, and no trial far slower than the rest"
        " (models that were unlearned elsewhere have none)",
        f"utility: {' and '.join(asked)}",
        f"no sign of what no honest method does: {', '.join(VOIDING)}, {ABOVE_CEILING}, or {NEAR_CONSTANT} above the ceiling",
    ]


def why_unranked(item: Row) -> str:
    """Why a row is not ranked, in words; "" if it passes."""
    card = item.scorecard
    if item.failure or card is None:
        return item.failure or "not scored"
    return (
        _why_not_timed(item)
        or _why_not_believed(card)
        or _why_not_known(item, card)
        or _why_too_good(card)
        or _why_too_long(item)
        or _why_not_useful(item)
    )


def _why_not_timed(item: Row) -> str:
    if not item.record.self_reported:
        return ""
    return f"{SELF_REPORTED}: its models were unlearned elsewhere and nobody timed that, so it cannot be ranked among timed rows"


def _why_not_believed(card: Scorecard) -> str:
    for flag in VOIDING:
        if flag in card.flags:
            return f"{flag}: {card.flags[flag]}"
    if NEAR_CONSTANT in card.flags and _above_retraining(card):
        return f"{NEAR_CONSTANT}, and more than retraining itself scores: {card.flags[NEAR_CONSTANT]}"
    return ""


def _why_not_known(item: Row, card: Scorecard) -> str:
    for metric, what in DECIDING.items():
        section = card.sections.get(metric)
        if section is None or section.problem:
            return f"nobody can tell {what}: {section.problem if section else NOT_COMPUTED}"
    if len(item.useful) < len(USEFUL):
        return f"nobody can tell {DECIDING['utility']}: there are no accuracies beside retrained models'"
    return ""


def _above_retraining(card: Scorecard) -> bool:
    score = card.measures.get("forgetting_score")
    return score is not None and score.retrained is not None and score.value > score.retrained


def _why_too_good(card: Scorecard) -> str:
    deviations = above(card)
    if deviations <= ABOVE:
        return ""
    return f"{ABOVE_CEILING}: it scores more than retraining itself, by {deviations:.1f} standard deviations"


def _why_too_long(item: Row) -> str:
    timing = item.timing
    if not (item.control or timing.seconds):
        return "nobody can tell whether it is within the budget: no trial was timed"
    if timing.uneven:
        usual, average = median(timing.scored), mean(timing.scored)
        return f"{UNEVEN}: trials take {average:.2f} s on average, and {usual:.2f} s in the median, which is what is judged"
    if timing.over_budget:
        return f"{OVER_BUDGET}: it takes {100 * timing.share / timing.allowed:.0f} % of it"
    return f"{BUSY_MACHINE}, where it cannot be told whether it is within the budget" if timing.unclear else ""


def _why_not_useful(item: Row) -> str:
    parts = [
        f"{_accuracy(name)} is {math.floor(1000 * share) / 10} % of retrained models', {100 * USEFUL[name]:.0f} % are asked"
        for name, share in item.lost.items()
    ]
    return f"{UTILITY_LOST}: {'; '.join(parts)}" if parts else ""


def _accuracy(name: str) -> str:
    return name.replace("_", " ")
