"""Writes the tables of docs/evidence/trust.md from what `bench calibrate --json` printed; run it after replacing a JSON file.

bench calibrate --models 16 --repeats 20 --json > leaderboard/calibration/n16.json
bench calibrate --models 64 --repeats 5 --json > leaderboard/calibration/n64.json
bench calibrate --models 512 --repeats 2 --json > leaderboard/calibration/n512.json
python docs/evidence/calibration/tables.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.scoring.constructions import CHOSEN, DIFFERENCES

FOLDER = Path(__file__).parents[3] / "leaderboard" / "calibration"
PAGE = Path(__file__).parents[1] / "trust.md"


def tables(path: Path) -> str:
    """One calibration: how models can differ from retrained ones, and confidences that were chosen."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return "\n\n".join(table(found, cases) for cases in (DIFFERENCES, CHOSEN))


def table(found: dict[str, Any], wanted: Iterable[str]) -> str:
    """Means, and in brackets in how many repeats a case is told from retrained models."""
    cases, repeats = {case: found["cases"][case] for case in wanted}, found["repeats"]
    flags = sorted({name for answers in cases.values() for name in answers if name.startswith("[")})
    lines = [f"| N = {found['models']}, {repeats} repeats | {' | '.join(cases)} |", "|---" * (1 + len(cases)) + "|"]
    measures = [name for name, about in found["quantities"].items() if about["table"] or tells(name, cases.values())]
    for name in (*measures, *flags):
        cells = (cell(answers.get(name), repeats) for answers in cases.values())
        lines.append(f"| {name.strip('[]')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tells(name: str, cases: Iterable[dict[str, dict[str, float | None]]]) -> bool:
    """Whether a measure says of any case if it is told from retrained models."""
    return any(case[name]["told"] is not None for case in cases if name in case)


def cell(answer: dict[str, float | None] | None, repeats: int) -> str:
    if answer is None:
        return ""
    told = "" if answer["told"] is None else f"({answer['told']}/{repeats})"
    return f"{told}" if answer["mean"] is None else f"{answer['mean']:.3f} {told}".strip()


def page(text: str) -> str:
    """The page with its tables as they should be."""

    def filled(match: re.Match[str]) -> str:
        return f"{match[1]}\n{tables(FOLDER / f'{match[2]}.json')}\n{match[3]}"

    return re.sub(r"(<!-- table (\w+) -->)\n.*?(<!-- end -->)", filled, text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
