"""Reads a store, writes the site: one page, its style and scripts, everything local."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.budget import in_words
from bench.errors import BenchError
from bench.ranking import Ceiling, Place, ceiling, divisions, places
from bench.results import Row, check_outputs, rows
from bench.store import Record, Store, write_bytes

from .chart import budget_curves, scatter

MISSING = "-"


@dataclass(frozen=True)
class Division:
    """One table of the board."""

    anchor: str
    title: str
    headline: str
    ceiling: Ceiling | None
    retrained: dict[str, float | None]  # what the yardstick's models get, and how long one takes
    table: pd.DataFrame
    figure: Markup  # JSON, safe inside a script element


@dataclass(frozen=True)
class Sweep:
    """Rows that differ in their budget only."""

    title: str
    figure: Markup


def build_site(store_path: Path, out: Path) -> int:
    """Write the site of a store into `out`; returns the number of runs shown.

    Raises:
        BenchError: the store has no runs, a file in it is damaged, or `out` cannot be written.
    """
    found, problems = rows(Store(store_path))
    if problems:
        raise problems[0]
    for item in found:
        check_outputs(item)
    if not found:
        raise BenchError(f"store {store_path} has no runs; make one with `bench run --plugin scrub --store {store_path}`")
    tables = [_division(members) for members in divisions(found)]
    template = _environment().get_template("index.html")
    page = template.render(divisions=tables, sweeps=_sweeps(found), version=version("unlearning-bench"))
    try:
        write_bytes(out / "index.html", page.encode())
        with as_file(files("bench_leaderboard") / "static") as static:
            shutil.copytree(static, out / "static", dirs_exist_ok=True)
    except OSError as problem:
        raise BenchError(f"cannot write the site to {out} ({problem.strerror}); choose another folder with --out") from problem
    return len(found)


def _division(members: list[Row]) -> Division:
    record = members[0].record
    top = ceiling(members)
    table = _table(members, top)
    return Division(
        anchor="-".join([record["reference_id"], str(record["models"]), record["budget"].replace("%", "pc")]),
        title=_title(record),
        headline=_headline(table, top),
        ceiling=top,
        retrained=_retrained(members),
        table=table,
        figure=Markup(_script_json(scatter(table))),  # noqa: S704 - `<` is escaped
    )


def _sweeps(found: list[Row]) -> list[Sweep]:
    """Methods that were run at several budgets, by what else makes a division."""
    scored = pd.DataFrame([_budget_line(item) for item in found if item.measure("final_score") and not item.control])
    sweeps = []
    for title, members in scored.groupby("title", sort=False) if len(scored) else ():
        several = members[members.groupby("method")["allowed"].transform("nunique") > 1]
        if len(several):
            sweeps.append(Sweep(str(title), Markup(_script_json(budget_curves(several)))))  # noqa: S704 - `<` is escaped
    return sweeps


def _budget_line(item: Row) -> dict[str, Any]:
    record, final = item.record, item.measure("final_score")
    same = f"N = {record['models']}, {record['device']['kind']}, reference {record['reference_id']}"
    return {
        "title": f"{record['task']['name']}, {same}",
        "method": item.label,
        "allowed": record["allowance_seconds"] / record["retraining_seconds"] if record["retraining_seconds"] else None,
        "final_score": final.value if final else None,
        "margin": final.interval[1] - final.value if final and final.interval else None,
        "over_budget": item.over_budget,
    }


def _retrained(members: list[Row]) -> dict[str, float | None]:
    """What the yardstick's models get."""
    scored = next((item for item in members if item.scorecard), members[0])
    measures = {name: scored.measure(name) for name in ("retain_accuracy", "test_accuracy", "ulira_auc")}
    seconds = {"runtime": scored.record["retraining_seconds"]}
    return {**{name: measure.retrained if measure else None for name, measure in measures.items()}, **seconds}


def _title(record: Record) -> str:
    return f"{record['task']['name']}, N = {record['models']}, {in_words(record['budget'])}, {record['device']['kind']}"


def _table(members: list[Row], top: Ceiling | None) -> pd.DataFrame:
    """One line per run, best first; missing numbers are NaN."""
    return pd.DataFrame([_line(place, top) for place in places(members)])


def _line(place: Place, top: Ceiling | None) -> dict[str, Any]:
    item = place.row
    forgetting, final = item.value("forgetting_score"), item.measure("final_score")
    ratios = [measure.relative if measure else None for measure in map(item.measure, ("retain_accuracy", "test_accuracy"))]
    method = item.record["method"]
    return {
        "rank": place.rank,
        "rank_interval": place.interval or MISSING,
        "margin": final.interval[1] - final.value if final and final.interval else None,
        "run": item.folder.name,
        "method": item.label,
        "summary": method["summary"],
        "package": f"{method['distribution']} {method['version']}".strip(),
        "control": item.control,
        "seed": item.record["seed"],
        **{name: item.value(name) for name in _NUMBERS},
        "ceiling_share": forgetting / top.value if top and top.value and forgetting is not None else None,
        "utility": ratios[0] * ratios[1] if ratios[0] is not None and ratios[1] is not None else None,
        "badges": {badge: item.scorecard.flags.get(badge, "") if item.scorecard else "" for badge in item.badges},
        "failure": item.failure,
    }


_NUMBERS = (
    "final_score", "forgetting_score", "retain_accuracy", "test_accuracy", "forget_accuracy",
    "p_value", "ulira_auc", "runtime", "runtime_share", "budget_share",
)  # fmt: skip


def _headline(table: pd.DataFrame, top: Ceiling | None) -> str:
    placed = table[table["rank"].notna()]
    if placed.empty:
        return "No ranked run yet."
    best = placed.iloc[0]
    tied = "" if best["rank_interval"] == "1" else f" (rank {best['rank_interval']})"
    ahead = f"{best['method']} leads with a final score of {best['final_score']:.3f}{tied}"
    if top is None:
        return f"{ahead}."
    measured = "about " if top.provisional else ""
    return f"{ahead}; retraining itself scores {measured}{top.value:.3f} in forgetting."


def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("bench_leaderboard"), autoescape=True, undefined=StrictUndefined)
    environment.filters.update(number=_number, percent=_percent)
    return environment


def _number(value: float | None, digits: int = 3) -> str:
    return MISSING if value is None or pd.isna(value) else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return MISSING if value is None or pd.isna(value) else f"{100 * value:.0f} %"


def _script_json(content: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
