"""A division as a table: its columns, its lines, and the same as CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from bench.scoring.ranking import METRIC, Ceiling, Place
from bench.scoring.rows import Row

from .entries import SHOWN, VERIFIED, Entry

MISSING = "\N{EN DASH}"
NUMBER, SHARE, SECONDS, TEXT = "number", "share", "seconds", "text"


@dataclass(frozen=True)
class Column:
    """One column of a division's table."""

    key: str
    title: str
    meaning: str
    kind: str = NUMBER
    digits: int = 3
    shown: bool = True  # readers may choose others


COLUMNS = (
    Column("final_score", "final", "forgetting score times the two utility ratios; higher is better", digits=4),
    Column("forgetting_score", "forgetting", "the challenge's forgetting score; retraining itself is far below 1", digits=4),
    Column("ceiling_share", "of ceiling", "forgetting score as a share of what retraining itself scores", SHARE),
    Column("utility_kept", "utility", "retain accuracy times test accuracy, each relative to retrained models"),
    Column("retain_accuracy", "retain acc.", "accuracy on the examples to keep", shown=False),
    Column("test_accuracy", "test acc.", "accuracy on new photos"),
    Column("forget_accuracy", "forget acc.", "accuracy on the forgotten photos; the target is retrained models'", shown=False),
    Column("p_value", "p-value", "permutation test: can these models be told from retrained ones? below .05: yes"),
    Column("ulira_auc", "U-LiRA AUC", "attack that knows both kinds of model; the target is what retrained models get"),
    Column("runtime", "runtime", "median of three timed trials", SECONDS, 2),
    Column("runtime_share", "of retraining", "runtime as a share of one retraining", SHARE),
    Column("budget_share", "of budget", "runtime as a share of what is allowed", SHARE),
    Column("seed", "seed", "root of all randomness of the trials", TEXT, shown=False),
    Column("package", "package", "where the method comes from", TEXT, shown=False),
)


@dataclass(frozen=True)
class Line:
    """One run in a division's table."""

    entry: Entry
    place: Place
    values: Mapping[str, Any]  # by column
    margin: float | None  # of the final score, 95 %
    group: int  # 0: ranked, 1: control, 2: shown at the bottom with its reason
    badges: Mapping[str, str]  # badge -> what was seen
    name: str  # the method's, with what tells it apart where the division has it several times

    @property
    def reason(self) -> str:
        """Why it is at the bottom; "" if its badges say so, or it is not."""
        if self.entry.row.failure or self.group != 2 or self.entry.row.record.over_budget:
            return self.entry.row.failure
        card = self.entry.row.scorecard
        return f"no final score: {(card.problems.get(METRIC) if card else '') or 'its metric was not computed'}"


def lines(places: Sequence[Place], entries: Mapping[str, Entry], top: Ceiling | None) -> list[Line]:
    """Best first; `entries` by run folder."""
    names = _names([place.row for place in places])
    return [_line(place, entries[str(place.row.folder)], top, name) for place, name in zip(places, names, strict=True)]


def _names(rows: Sequence[Row]) -> list[str]:
    """Methods, with as much of seed, version and run as tells them apart within the division."""
    names = [item.label for item in rows]
    for told in (_seed, _version, _run):
        count = Counter(names)
        names = [f"{name}, {told(item)}" if count[name] > 1 else name for name, item in zip(names, rows, strict=True)]
    return names


def _seed(item: Row) -> str:
    return f"seed {item.record.seed}"


def _version(item: Row) -> str:
    return f"version {item.record.method.version or item.record.method.source_hash[:6]}"


def _run(item: Row) -> str:
    return f"run {item.folder.name[-12:]}"


def utility_kept(item: Row) -> float | None:
    """Retain accuracy times test accuracy, each relative to retrained models."""
    measures = [item.measure(name) for name in ("retain_accuracy", "test_accuracy")]
    ratios = [measure.relative for measure in measures if measure and measure.relative is not None]
    return ratios[0] * ratios[1] if len(ratios) == 2 else None


def _line(place: Place, entry: Entry, top: Ceiling | None, name: str) -> Line:
    item = place.row
    final, forgetting = item.measure("final_score"), item.value("forgetting_score")
    method = item.record.method
    values = {
        **{name: item.value(name) for name in SHOWN},
        "ceiling_share": forgetting / top.value if top and top.value and forgetting is not None else None,
        "utility_kept": utility_kept(item),
        "seed": str(item.record.seed),
        "package": f"{method.distribution} {method.version}".strip(),
    }
    seen = item.scorecard.flags if item.scorecard else {}
    badges = {badge: seen.get(badge, "") for badge in item.badges if badge not in ("control", "screening")}
    if entry.provenance != VERIFIED:
        badges[entry.provenance] = ""
    margin = final.interval[1] - final.value if final and final.interval else None
    return Line(entry, place, values, margin, 1 if item.control else 0 if place.rank else 2, badges, name)


def frame(division: str, rows: Sequence[Line]) -> pd.DataFrame:
    """Lines as a table for other programs: numbers in full, one row per run."""
    return pd.DataFrame(
        [
            {
                "division": division,
                "rank": line.place.rank,
                "rank_best": line.place.best,
                "rank_worst": line.place.worst,
                "method": line.entry.row.label,
                "run": line.entry.name,
                **line.values,
                "final_score_margin": line.margin,
                "provenance": line.entry.provenance,
                "badges": "; ".join(line.entry.row.badges),
                "failure": line.entry.row.failure,
            }
            for line in rows
        ]
    )


def shown(value: Any, column: Column) -> str:
    """A cell in words."""
    if value is None:
        return MISSING
    if column.kind == SHARE:
        return f"{100 * value:.0f} %"
    if column.kind == SECONDS:
        return f"{value:.{column.digits}f} s"
    return f"{value:.{column.digits}f}" if column.kind == NUMBER else str(value)


def number(value: float | None, digits: int = 4) -> str:
    """A number, or a dash where there is none."""
    return MISSING if value is None else f"{value:.{digits}f}"


def interval(ends: tuple[float, float] | None) -> str:
    """`0.1 to 0.2`; "" if there is none."""
    return f"{number(ends[0])} to {number(ends[1])}" if ends else ""


def curve_table(title: str, grid: str, infix: str, details: Mapping[str, Sequence[float | None]]) -> Markup:
    """The numbers of curves over a common grid, a column per curve whose name holds `infix`."""
    names = [name for name in details if infix in name]
    head = "".join(f'<th scope="col">{escape(name.replace(infix, ", "))}</th>' for name in names)
    lines = zip(details[grid], *(details[name] for name in names), strict=False)
    cells = ("".join(f"<td>{number(value, 3)}</td>" for value in line[1:]) for line in lines)
    body = (f'<tr><th scope="row">{value or 0:.3g}</th>{row}</tr>' for value, row in zip(details[grid], cells, strict=False))
    header = f'<tr><th scope="col">{escape(title)}</th>{head}</tr>'
    table = f'<table class="plain"><thead>{header}</thead><tbody>{"".join(body)}</tbody></table>'
    return Markup(table)  # noqa: S704 - numbers and escaped names
