"""A division as a table: its columns, its lines, and the same as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from bench.scoring.ceilings import Ceiling
from bench.scoring.columns import Column, columns, margins, values, written
from bench.scoring.frames import of_ranks
from bench.scoring.ranking import UNRANKED, Place
from bench.scoring.rows import Row, distinct_names

from .entries import VERIFIED, Entry

MISSING = "\N{EN DASH}"
SEED = Column("seed", "seed", "root of all randomness of the trials", None, folded=True)
PACKAGE = Column("package", "package", "where the method comes from", None, folded=True)


def columns_of(rows: Iterable[Row]) -> list[Column]:
    """What metrics ask for, and what the run's record says."""
    return [*columns(item.scorecard for item in rows if item.scorecard), SEED, PACKAGE]


@dataclass(frozen=True)
class Line:
    """One run in a division's table."""

    entry: Entry
    place: Place
    values: Mapping[str, Any]  # by column
    margins: Mapping[str, float | None]  # of those that stand with their 95 % interval, half of it
    badges: Mapping[str, str]  # badge -> what was seen
    name: str  # the method's, with what tells it apart where the division has it several times

    @property
    def reason(self) -> str:
        """Why it is at the bottom; "" if it is not."""
        return self.place.reason if self.place.group == UNRANKED else self.entry.row.failure


def lines(places: Sequence[Place], entries: Mapping[str, Entry], shown: Sequence[Column], top: Ceiling | None) -> list[Line]:
    """Best first; `entries` by run folder."""
    names = distinct_names([place.row for place in places])
    return [
        _line(place, entries[str(place.row.folder)], values(place.row, shown, top), margins(place.row, top), name)
        for place, name in zip(places, names, strict=True)
    ]


def _line(place: Place, entry: Entry, numbers: Mapping[str, float | None], ends: Mapping[str, float | None], name: str) -> Line:
    item, method = place.row, place.row.record.method
    cells = {**numbers, SEED.key: str(item.record.seed), PACKAGE.key: f"{method.distribution} {method.version}".strip()}
    seen = item.scorecard.flags if item.scorecard else {}
    badges = {badge: seen.get(badge, "") for badge in item.badges if badge not in ("control", "screening")}
    if entry.provenance != VERIFIED:
        badges[entry.provenance] = ""
    return Line(entry, place, cells, ends, badges, name)


def frame(division: str, rows: Sequence[Line]) -> pd.DataFrame:
    """Lines as a table for other programs: numbers in full, one row per run."""
    return pd.DataFrame(
        [
            {
                "division": division,
                **of_ranks(line.place),
                "method": line.entry.row.label,
                "run": line.entry.name,
                **line.values,
                **{f"{name}_margin": margin for name, margin in line.margins.items()},
                "provenance": line.entry.provenance,
                "badges": "; ".join(line.entry.row.badges),
                "unranked": line.place.reason if line.place.group == UNRANKED else "",
                "failure": line.entry.row.failure,
            }
            for line in rows
        ]
    )


def shown(value: float | str | None, column: Column) -> str:
    """A cell in words."""
    return value or MISSING if isinstance(value, str) else column.shown(value, MISSING)


def number(value: float | None, unit: str = "", decimals: int = 3) -> str:
    """A number, or a dash where there is none."""
    return MISSING if value is None else written(value, unit, decimals)


def interval(ends: tuple[float, float] | None, unit: str = "", decimals: int = 3) -> str:
    """`0.1 to 0.2`; "" if there is none."""
    return " to ".join(number(end, unit, decimals) for end in ends) if ends else ""


def curve_table(title: str, grid: str, infix: str, details: Mapping[str, Sequence[float | None]]) -> Markup:
    """The numbers of curves over a common grid, a column per curve whose name holds `infix`."""
    names = [name for name in details if infix in name]
    head = "".join(f'<th scope="col">{escape(name.replace(infix, ", "))}</th>' for name in names)
    lines = zip(details[grid], *(details[name] for name in names), strict=False)
    cells = ("".join(f"<td>{number(value)}</td>" for value in line[1:]) for line in lines)
    body = (f'<tr><th scope="row">{value or 0:.3g}</th>{row}</tr>' for value, row in zip(details[grid], cells, strict=False))
    header = f'<tr><th scope="col">{escape(title)}</th>{head}</tr>'
    table = f'<table class="plain"><thead>{header}</thead><tbody>{"".join(body)}</tbody></table>'
    return Markup(table)  # noqa: S704 - numbers and escaped names
