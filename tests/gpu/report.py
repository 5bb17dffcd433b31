"""All evidence about a GPU in one call of at most ten minutes: whether results are right there, and how fast.

For a machine that is lent for minutes and has no network, bring everything in one folder, which `.git/info/exclude` names:
wheels for its Python of the project and of those requirements that it lacks, and these scripts. Here:

    python3 tests/gpu/report.py --wheels .whl

There, with `.whl` beside the working tree, or without any working tree (SITE: a new folder, OUT: what comes back):

    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target SITE .whl/*.whl \\
        && export PYTHONPATH=SITE PATH=SITE/bin:$PATH || exit; python3 .whl/tests/gpu/report.py --out OUT --minutes 9

A rehearsal at tiny sizes, best of a task that trains in a second, as that of `tests/third_party` does:

    python3 tests/gpu/report.py --out OUT --device cpu --task TASK --minutes 2

Every section is a process of its own with a time box, so that one crash or one poisoned CUDA context costs one section.
Only a rehearsal joins some, `--only env+input,verify`: there, most of the time goes into importing torch.
Each finding is one line of `report.jsonl`, written at once; `log.txt` has what sections print; a short table comes last.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from findings import REPORT, Findings

UNSHOWN = ("worst", "chunk", "timed_phases", "peak_memory", "peak_host_memory", "first_s", "steps")  # too long for the table
RESERVE, FEWEST = 5.0, 10.0  # seconds kept for the table; seconds that a section is worth starting for


@dataclass(frozen=True)
class Section:
    """A module of `sections` whose `measure` is called, or several joined by +, and the seconds that it may take."""

    name: str
    seconds: float


# In the order of their worth: what the product does first, what might be faster last.
SECTIONS = (
    Section("env", 45),
    Section("starts", 60),
    Section("cold", 75),
    Section("bench", 130),
    Section("correct", 60),
    Section("speed8", 90),
    Section("pytest", 70),
    Section("kill", 40),
    Section("speed18", 90),
    Section("input", 25),
    Section("verify", 60),
)


def run_all(sections: Sequence[Section], frame: Findings, *, slack: float = 1.0) -> None:
    """Run sections one after the other until `frame.ends`; every one leaves how it ended, and its seconds."""
    with (frame.folder / "log.txt").open("w", encoding="utf-8") as log:
        for section in sections:
            left = frame.ends - RESERVE - time.monotonic()
            if left < FEWEST:
                frame.put(section.name, code="no time left")
                continue
            start = time.monotonic()
            seconds = min(slack * section.seconds, left)
            process = subprocess.Popen(frame.command(section.name, seconds), stdout=log, stderr=log, start_new_session=True)
            frame.put(section.name, code=_ended(process, seconds), seconds=round(time.monotonic() - start, 1))


def _ended(process: subprocess.Popen[bytes], seconds: float) -> int | str:
    """The exit code; a process that takes longer is killed, with all of its group."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return "out of time"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_one(findings: Findings) -> int:
    """Measure one section in this process; what it raises is a finding. Returns the exit code."""
    try:
        importlib.import_module(f"sections.{findings.section}").measure(findings)
    except Exception as problem:
        findings.failed(findings.section, problem)
        traceback.print_exc()
        return 1
    return 0


def run_each(given: argparse.Namespace) -> int:
    """Measure one section in this process, or one after the other those that are joined; returns the worst exit code."""
    shared = (given.device, time.monotonic() + float(given.seconds), Path(given.scratch), given.task)
    return max([run_one(Findings(given.out, name, *shared)) for name in given.section.split("+")])


def table(folder: Path) -> str:
    """Every finding as one line; what is long is cut."""
    lines = [f"{'section':9} | {'what':48} | found"]
    for line in (folder / REPORT).read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        section, what = found.pop("section"), found.pop("what")
        shown = " ".join(f"{name}={value}" for name, value in found.items() if name not in UNSHOWN)
        lines.append(f"{section:9.9} | {what:48.48} | {shown[:150]}")
    return "\n".join(lines)


def chosen(only: str) -> list[Section]:
    """Sections by their names, separated by commas; those joined by + share a process."""
    seconds = {section.name: section.seconds for section in SECTIONS}
    unknown = set(only.replace("+", ",").split(",")) - set(seconds)
    if unknown:
        sys.exit(f"no section is called {min(unknown)}; there are {', '.join(seconds)}")
    return [Section(names, sum(seconds[name] for name in names.split("+"))) for names in only.split(",")]


def report(sections: Sequence[Section], given: argparse.Namespace) -> None:
    """Run sections from an empty report and print the table."""
    (given.out / REPORT).write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="gpu-report-") as scratch:
        ends = time.monotonic() + 60 * given.minutes
        run_all(sections, Findings(given.out, "frame", given.device, ends, Path(scratch), given.task), slack=given.slack)
    text = table(given.out)
    (given.out / "table.txt").write_text(text + "\n", encoding="utf-8")
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="folder of the report")
    what.add_argument("--wheels", type=Path, help="only gather in this folder what the other machine lacks")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal at tiny sizes")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all sections together")
    parser.add_argument("--slack", type=float, default=1.0, help="how many times its time box a section may take")
    parser.add_argument("--only", help="sections, separated by commas; those joined by + share a process")
    parser.add_argument("--task", default="age-synthetic", help="of which models are trained")
    for inner in ("--section", "--seconds", "--scratch"):
        parser.add_argument(inner, help=argparse.SUPPRESS)  # how sections are started
    return parser.parse_args()


def main() -> None:
    """Gather wheels, measure one section, or all of them."""
    given = _arguments()
    if given.wheels:
        importlib.import_module("wheels").gather(given.wheels)
        return
    given.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONUNBUFFERED"] = "1"
    if given.section:
        sys.exit(run_each(given))
    report(chosen(given.only) if given.only else SECTIONS, given)


if __name__ == "__main__":
    main()
