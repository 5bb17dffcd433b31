"""The `bench` command, as sections call it."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from findings import Findings

METHODS, QUICK = ("scrub", "noise-injection", "finetune"), "noise-injection[epochs=0.1]"  # the most telling method first
LOG = "bench.log"
GRACE = 5.0  # seconds to end in, for a command that was interrupted


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int | str
    seconds: float
    said: str  # what it printed, apart from its log


def call_bench(findings: Findings, *arguments: object) -> Done:
    """Run `bench` with arguments on the shared store until the time box ends; its log is kept."""
    words = [*map(str, arguments), "--store", str(findings.store)]
    command = [sys.executable, "-P", "-c", "from bench.cli.main import main; main()", *words]
    start = perf_counter()
    with (findings.folder / LOG).open("a", encoding="utf-8") as log:
        log.write(f"$ bench {' '.join(words)}\n")
        log.flush()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        code, said = _ended(process, findings.left - GRACE)
        log.write(said)
    return Done(code, perf_counter() - start, said)


def _ended(process: subprocess.Popen[str], seconds: float) -> tuple[int | str, str]:
    """The exit code and what was printed; a command that takes longer is interrupted, then killed."""
    try:
        said, _ = process.communicate(timeout=max(seconds, 1.0))
        return process.returncode, said
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        said, _ = process.communicate(timeout=GRACE - 1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    return "out of time", said


def models(findings: Findings) -> int:
    """Trials of a run."""
    return findings.pick(64, 8)


def methods(findings: Findings) -> tuple[str, ...]:
    """What is run."""
    return findings.pick(METHODS, (QUICK,))


def run_folders(findings: Findings, method: str) -> list[Path]:
    """Runs of a method with that many trials."""
    from bench.store.runs import Run

    folders = (findings.store / "runs").glob(f"{method.partition('[')[0]}-*")
    records = {folder: Run.read(folder).record for folder in sorted(folders)}
    return [folder for folder, record in records.items() if (record.method.spec, record.models) == (method, models(findings))]
