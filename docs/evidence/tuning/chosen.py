"""Writes the table of docs/evidence/tuning.md from what quick.py found: of each method the defaults and the best configuration.

Of what passes the gates of a board, the best is the least |memory left|, where time beyond `MARGIN` of the budget has the `PRICE`
that it has in search.py. Defaults stay where nothing passes, and where they pass and nothing is better by `TOLD`, which is about
what eight models can tell.

    python docs/evidence/tuning/chosen.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
from search import PRICE

RESULTS = Path(__file__).parent / "quick.csv"
PAGE = Path(__file__).parents[1] / "tuning.md"
MARKED = re.compile(r"(<!-- quick -->)\n.*?(<!-- end -->)", re.DOTALL)
COLUMNS = (
    "method",
    "its defaults: memory left, test, retain, of budget",
    "the best: memory left, test, retain, of budget",
    "what that is",
)
TOLD = 0.1
Line = dict[str, Any]


def cost(line: Line) -> float:
    """Memory, and what time beyond the margin is worth."""
    return float(abs(line["memory_left"]) + PRICE * line["missed"])


def best(lines: list[Line], defaults: Line) -> Line:
    """The configuration that becomes a method's defaults."""
    passing = [line for line in lines if not line["unranked"]]
    found = min(passing, key=cost, default=defaults)
    return defaults if defaults in passing and cost(defaults) < cost(found) + TOLD else found


def in_short(line: Line) -> str:
    """Numbers of a configuration."""
    memory, share = f"{100 * line['memory_left']:.0f} %", f"{100 * line['budget_share']:.0f} %"
    fails = "not ranked: " if line["unranked"] else ""
    return f"{fails}{memory}, {line['test_ratio']:.3f}, {line['retain_ratio']:.3f}, {share}"


def table(found: pd.DataFrame) -> str:
    """A line for each method."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for method, group in found.groupby("method"):
        finished = group.dropna(subset="memory_left")  # whose trials all did
        known: list[Line] = [dict(zip(finished.columns, values, strict=True)) for values in finished.itertuples(index=False)]
        defaults = next(line for line in known if line["spec"] == method)
        chosen = best(known, defaults)
        same = chosen["spec"] == method
        changed = "" if same else ", ".join(chosen["spec"].partition("[")[2].rstrip("]").split(",")).replace("=", " ")
        rows.append((f"`{method}`", in_short(defaults), "the same" if same else in_short(chosen), changed))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Put the table into the page."""
    found = pd.read_csv(RESULTS).fillna({"unranked": ""})
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKED.sub(lambda marks: f"{marks[1]}\n{table(found)}\n{marks[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
