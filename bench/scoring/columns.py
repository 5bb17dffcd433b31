"""Tables of runs: which numbers are columns and in which order, how they are written, and what retrained models get in each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from bench.metrics.quantity import Family, Table
from bench.metrics.resampling import Z
from bench.scoring import ceilings
from bench.scoring.ceilings import Ceiling
from bench.scoring.rows import Row
from bench.scoring.scorecard import CHALLENGE, CHALLENGE_METRIC, HEADLINE, HEADLINE_METRIC, Measure, Presentation, Scorecard

FIRST = (HEADLINE_METRIC, CHALLENGE_METRIC)  # metrics whose columns rows are ranked by
LARGE = 1e5  # a number with as many digits needs no decimals
BYTES = ("B", "kB", "MB", "GB", "TB")


def written(value: float, unit: str, decimals: int) -> str:
    """A number as people read it: 1.23 s, 45 MB, a unit `of ...` in percent, others plain.

    >>> [written(0.0834, "of budget", 2), written(1.234, "seconds", 2), written(4.5e7, "bytes", 3), written(0.5, "share", 3)]
    ['8 %', '1.23 s', '45 MB', '0.500']
    """
    if unit.startswith("of "):
        shown = max(decimals - 2, 0)
        return f"{round(100 * value, shown) + 0.0:.{shown}f} %"  # not -0
    if unit == "bytes":
        return _bytes(value)
    number = f"{value:.{decimals if abs(value) < LARGE else 0}f}"
    return f"{number} s" if unit == "seconds" else number


def _bytes(value: float) -> str:
    power = next((power for power in range(len(BYTES)) if abs(value) < 1000 ** (power + 1)), len(BYTES) - 1)
    scaled = value / 1000**power
    return f"{scaled:.1f} {BYTES[power]}" if power and abs(scaled) < 10 else f"{scaled:.0f} {BYTES[power]}"


@dataclass(frozen=True)
class Column:
    """One column of a table of runs."""

    key: str
    title: str
    meaning: str
    unit: str | None  # None: it holds no number
    decimals: int = 3
    table: Table = ""
    family: Family = "other"
    folded: bool = False

    def shown(self, value: float | None, missing: str = "") -> str:
        """A cell."""
        return missing if value is None else written(value, self.unit or "", self.decimals)


CEILING_SHARE = Column(
    "ceiling_share",
    "of ceiling",
    "forgetting score as a share of what retraining itself scores",
    "of ceiling",
    2,
    "results",
    folded=True,
)
UTILITY_KEPT = Column(
    "utility_kept",
    "utility",
    "retain accuracy times test accuracy, each relative to retrained models",
    "ratio",
    table="results",
    folded=True,
)


def columns(cards: Iterable[Scorecard]) -> list[Column]:
    """The columns that metrics ask for, by table, family and metric, those of ranks first; and two that follow from them."""
    found: dict[str, tuple[str, Column]] = {}
    for card in cards:
        for metric, section in card.sections.items():
            for name, measure in section.measures.items():
                about = section.presentation(name)
                if about.table and name not in found:
                    found[name] = metric, _column(name, measure, about)
    tables, families = get_args(Table), get_args(Family)

    def order(item: tuple[str, Column]) -> tuple[int, int, int, str]:
        metric, column = item
        first = FIRST.index(metric) if metric in FIRST else len(FIRST)
        return tables.index(column.table), families.index(column.family), first, metric

    asked = [column for _, column in sorted(found.values(), key=order)]
    scores = [column for column in asked if (column.table, column.family) == ("results", "forgetting")]
    return [*scores, CEILING_SHARE, UTILITY_KEPT, *asked[len(scores) :]] if scores else asked


def _column(name: str, measure: Measure, about: Presentation) -> Column:
    _, _, part = name.partition(".")
    title = f"{about.title} {part}".strip()
    return Column(name, title, about.meaning, measure.unit, about.decimals, about.table, about.family, about.folded)


def values(item: Row, shown: Sequence[Column], top: Ceiling | None) -> dict[str, float | None]:
    """A run's cells, by column."""
    followed = {CEILING_SHARE.key: ceiling_share(item, top), UTILITY_KEPT.key: utility_kept(item)}
    return {column.key: followed[column.key] if column.key in followed else item.value(column.key) for column in shown}


def margins(item: Row, top: Ceiling | None) -> dict[str, float | None]:
    """Half of the 95 % interval of what stands with one: what rows are ranked by, and the share of the ceiling."""
    measures = {name: item.measure(name) for name in (HEADLINE, CHALLENGE)}
    known = {name: measure.margin if measure else None for name, measure in measures.items()}
    found = ceilings.share(item, top)
    return {**known, CEILING_SHARE.key: Z * found[1] if found and found[1] is not None else None}


def ceiling_share(item: Row, top: Ceiling | None) -> float | None:
    """The forgetting score as a share of what retraining itself scores."""
    found = ceilings.share(item, top)
    return found[0] if found else None


def utility_kept(item: Row) -> float | None:
    """Retain accuracy times test accuracy, each relative to retrained models."""
    measures = [item.measure(name) for name in ("retain_accuracy", "test_accuracy")]
    ratios = [measure.relative for measure in measures if measure and measure.relative is not None]
    return ratios[0] * ratios[1] if len(ratios) == 2 else None


def target(rows: Sequence[Row], shown: Sequence[Column], top: Ceiling | None) -> dict[str, float | None]:
    """What retrained models get, by column: in the first row that says it, and of the scores what the ceiling is."""
    measures = {column.key: [item.measure(column.key) for item in rows] for column in shown}
    known: dict[str, float | None] = {
        key: next((each.retrained for each in found if each and each.retrained is not None), None)
        for key, found in measures.items()
    }
    retraining = rows[0].timing.retraining
    scores = {CHALLENGE: top.final, "forgetting_score": top.value, CEILING_SHARE.key: 1.0} if top else {}
    known |= {**scores, UTILITY_KEPT.key: 1.0, "runtime": retraining, "runtime_share": 1.0}
    return {column.key: known[column.key] for column in shown}
